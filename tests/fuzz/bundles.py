"""Bundles with a fault: fields of the manifest, nodes and weights of graphs, the tokenizer, files. Each is loaded, or
refused with a cause; what the manifest says of a file is made true, so that hashes do not hide what is behind them."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from attendant.bundle import MANIFEST_FILE, TOKENIZER_FILE, sha256
from attendant.core.errors import AttendantError
from attendant.models.loader import ModelLoader
from attendant.settings import EncoderSettings, EngineSettings
from onnx import TensorProto

from tests.fuzz.files import BOUNDARIES, damaged
from tests.http.api.hostile import DEEP
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_audio_encoder, make_image_encoder, make_text_encoder

VALUES: tuple[Any, ...] = (
    *(None, True, "", "a", "../../etc/passwd", "/dev/zero", [], {}, [[]], {"a": 1}),
    *(0, 1, 2, 3, 7, -1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
)
MOST_STEPS = 12
"""Of the way from the document to the value that is changed."""


@cache
def whole() -> tuple[Path, ...]:
    """Bundles without a fault: one that generates, and some that encode."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-bundles-"))
    return (
        make_synthetic_bundle(folder / "generates", context_length=64, layers=1),
        make_text_encoder(folder / "classifies", "classify", max_tokens=32),
        make_image_encoder(folder / "sees"),
        make_audio_encoder(folder / "hears"),
    )


def bundle_case(chance: random.Random) -> tuple[str, str]:
    """Has one bundle loaded. Returns how that ended, and what is wrong with it; empty for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(shutil.copytree(chance.choice(whole()), Path(folder) / "bundle"))
        told = _spoil(bundle, chance)
        return load(bundle, told)


def load(bundle: Path, told: str) -> tuple[str, str]:
    """Has a bundle loaded. ``told``: what was done to it."""
    engine = EngineSettings(threads=1, spinning=False, max_num_seqs=2, kv_memory=2**24)
    loader = ModelLoader(engine, encoder=EncoderSettings(threads=1, spinning=False), verify=True, progress=_quiet)
    try:
        loader.load_all([bundle])
    except AttendantError as error:
        kind = "unforeseen" if "cannot be loaded: " in str(error) else type(error).__name__
        return f"{told}: {kind}", "" if str(error) else f"{told}: refused without a word"
    return f"{told}: loaded", ""


def _quiet(line: str) -> None:
    """Of the stages of a load, nothing is told."""


def _spoil(bundle: Path, chance: random.Random) -> str:
    ways: list[Callable[[Path, random.Random], None]] = [
        *[_change_manifest] * 5,
        *(_break_manifest, _damage_file, _change_tokenizer, _change_tokenizer),
        *[_change_graph] * 4,
    ]
    way = chance.choice(ways)
    way(bundle, chance)
    return way.__name__.strip("_")


def _change_manifest(bundle: Path, chance: random.Random) -> None:
    path = bundle / MANIFEST_FILE
    path.write_text(json.dumps(_changed(json.loads(path.read_text()), chance)))


def _break_manifest(bundle: Path, chance: random.Random) -> None:
    path = bundle / MANIFEST_FILE
    data = path.read_bytes()
    deep = b'{"schema_version": 1, "name": ' + b"[" * DEEP * 50 + b"]" * DEEP * 50 + b"}"
    path.write_bytes(chance.choice((damaged(data, chance), b"", b"null", b"[]", b"\xff\xfe", deep, b'{"a":' * DEEP)))


def _damage_file(bundle: Path, chance: random.Random) -> None:
    """A graph or a tokenizer with other bytes, sometimes with the hash of these."""
    path = chance.choice([each for each in sorted(bundle.iterdir()) if each.name != MANIFEST_FILE])
    path.write_bytes(damaged(path.read_bytes(), chance))
    if chance.random() < 0.8:
        _seal(bundle)


def _change_tokenizer(bundle: Path, chance: random.Random) -> None:
    path = bundle / TOKENIZER_FILE
    if not path.is_file():
        return _change_manifest(bundle, chance)
    path.write_text(json.dumps(_changed(json.loads(path.read_text()), chance)))
    return _seal(bundle)


def _change_graph(bundle: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(bundle.glob("*.onnx")))
    model = onnx.load(path)
    graph = model.graph
    node = chance.choice(graph.node)
    ways: list[Callable[[], object]] = [
        lambda: graph.node.remove(node),
        lambda: setattr(node, "op_type", chance.choice(("Identity", "Add", "MatMul", "Softmax", "NoSuchNode", ""))),
        lambda: setattr(node, "domain", chance.choice(("", "com.microsoft", "nobody.at.all"))),
        node.input.reverse,
        lambda: node.input.append(chance.choice(node.input) if node.input else "nothing"),
        lambda: node.output.__setitem__(0, "elsewhere"),
        lambda: _change_weight(chance.choice(graph.initializer), chance) if graph.initializer else None,
        lambda: _change_weight(chance.choice(graph.initializer), chance) if graph.initializer else None,
        graph.input.pop,
        graph.output.pop,
        lambda: setattr(graph.input[0].type.tensor_type, "elem_type", chance.choice((0, 1, 7, 8, 99))),
        lambda: _change_attribute(node, chance),
    ]
    chance.choice(ways)()
    onnx.save(model, path)
    _seal(bundle)


def _change_weight(weight: TensorProto, chance: random.Random) -> None:
    ways: list[Callable[[], object]] = [
        lambda: weight.dims.append(chance.choice((0, 1, 2, 2**31, 2**62))),
        lambda: weight.dims.__setitem__(0, chance.choice((0, 1, -1, 7, 2**31, 2**62))) if weight.dims else None,
        lambda: setattr(weight, "raw_data", damaged(weight.raw_data, chance)),
        lambda: setattr(weight, "data_type", chance.choice((0, 1, 7, 10, 99))),
        lambda: _outside(weight, chance),
    ]
    chance.choice(ways)()


def _outside(weight: TensorProto, chance: random.Random) -> None:
    """Weights that lie in a file, which is not the bundle's."""
    weight.data_location = TensorProto.EXTERNAL
    weight.ClearField("raw_data")
    places = ("../secret", "/etc/passwd", "/dev/zero", "bundle.json", "nothing", "")
    for key, value in (("location", chance.choice(places)), ("offset", str(chance.choice(BOUNDARIES)))):
        weight.external_data.add(key=key, value=value)


def _change_attribute(node: Any, chance: random.Random) -> None:
    if not node.attribute:
        return
    attribute = chance.choice(node.attribute)
    attribute.i = chance.choice((0, 1, -1, 7, 2**31, 2**63 - 1, -(2**63)))
    attribute.f = chance.choice((0.0, -1.0, float("nan"), 1e38))


def _changed(document: Any, chance: random.Random) -> Any:
    """JSON with another value somewhere, or without one, or with one more."""
    place = document
    for _ in range(chance.randrange(1, MOST_STEPS)):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return document
        key = chance.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        _change(place, key, chance)
        return document
    return document


def _change(place: Any, key: Any, chance: random.Random) -> None:
    how = chance.random()
    if how < 0.2:
        del place[key]
    elif how < 0.3 and isinstance(place, dict):
        place["no_such_field"] = chance.choice(VALUES)
    elif how < 0.4 and isinstance(place, list):
        place.append(place[key])
    else:
        place[key] = chance.choice(VALUES)


def _seal(bundle: Path) -> None:
    """Make the manifest agree with the files."""
    path = bundle / MANIFEST_FILE
    data = json.loads(path.read_text())
    for name in data["files"]:
        file = bundle / name
        data["files"][name] = {"size": file.stat().st_size, "sha256": sha256(file)}
    path.write_text(json.dumps(data))
