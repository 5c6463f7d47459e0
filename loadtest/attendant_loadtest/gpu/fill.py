"""Gives a hollow bundle its weights: random numbers, in the external-data file that its graph names."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import MANIFEST_FILE, read_manifest

SPREAD = 0.02
"""Standard deviation of the weights."""

_POOL = 4_194_301  # numbers that are used over and over: a prime, so that no two rows of a matrix are alike


@dataclass(frozen=True, slots=True)
class Weight:
    """A matrix of the graph. ``dtype``: float32 or bfloat16. ``offset``, ``length``: its bytes in ``file``.

    ``looked_up``: rows are picked from it, so that a step reads next to nothing of it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    offset: int
    length: int
    looked_up: bool


def fill_bundle(hollow: Path, out: Path) -> int:
    """Copies the bundle ``hollow`` to ``out``, with weights.

    Returns:
        How many bytes of weights a step reads: all of them, once, but what is only looked up.
    """
    shutil.copytree(hollow, out)
    found = weights(out)
    pool = np.random.default_rng(0).standard_normal(_POOL, np.float32) * np.float32(SPREAD)
    pools = {"float32": pool, "bfloat16": to_bfloat16(pool)}
    for file, group in itertools.groupby(sorted(found, key=lambda w: (w.file, w.offset)), key=lambda w: w.file):
        with (out / file).open("wb") as stream:
            start = 0
            for weight in group:
                stream.seek(weight.offset)
                numbers = pools[weight.dtype]
                for part in _parts(numbers, start, weight.length // numbers.itemsize):
                    part.tofile(stream)
                start += weight.length // numbers.itemsize
    _list_files(out, sorted({weight.file for weight in found}))
    return sum(weight.length for weight in found if not weight.looked_up)


def _list_files(bundle: Path, names: list[str]) -> None:
    """Has the manifest list files that it did not know: a graph may only have weights in files of its bundle."""
    path = bundle / MANIFEST_FILE
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name in names:
        with (bundle / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        manifest["files"][name] = {"size": (bundle / name).stat().st_size, "sha256": digest}
    path.write_text(json.dumps(manifest), encoding="utf-8")


def weights(bundle: Path) -> list[Weight]:
    """The matrices that the decoder of a bundle has in external files, in the order of the graph."""
    import onnx

    path = bundle / read_manifest(bundle).graphs["decoder"].file
    graph = onnx.load(str(path), load_external_data=False).graph
    names = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.BFLOAT16: "bfloat16"}
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, set()).add(node.op_type)
    found = []
    for tensor in graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries: dict[str, Any] = {entry.key: entry.value for entry in tensor.external_data}
        found.append(
            Weight(
                name=tensor.name,
                dtype=names[tensor.data_type],
                shape=tuple(tensor.dims),
                file=entries["location"],
                offset=int(entries.get("offset", 0)),
                length=int(entries["length"]),
                looked_up=readers.get(tensor.name) == {"Gather"},
            )
        )
    return found


def to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bits of finite ``values`` in bfloat16, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def _parts(pool: npt.NDArray[Any], start: int, count: int) -> Iterator[npt.NDArray[Any]]:
    """``count`` numbers of the endless repetition of ``pool``, from ``start`` on."""
    while count:
        part = pool[start % len(pool) :][:count]
        yield part
        start, count = start + len(part), count - len(part)
