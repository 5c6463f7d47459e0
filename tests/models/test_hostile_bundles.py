"""Bundles from strangers: what would read another file, or run code, is refused by file and cause. Each is the embedded
demo with one thing changed and a manifest that agrees, as somebody would make it who means harm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from attendant.bundle import MANIFEST_FILE, TOKENIZER_FILE, check_graph_files, read_any_manifest
from attendant.bundle import contained as rules
from attendant.bundle.onnx_file import OnnxBroken, read_names
from attendant.core.errors import BundleError
from attendant.models.text import load_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.models.test_repository import edit, load, replace_file

DEMO = Path(rules.__file__).parents[1] / "demo" / "bundle"
GRAPH = "decoder.onnx"
DATA = "decoder.onnx.data"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "bundle"))


def regraph(bundle: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change a graph, and make the manifest agree."""
    model = onnx.load(bundle / GRAPH, load_external_data=False)
    change(model)
    replace_file(bundle, GRAPH, model.SerializeToString())


def external(**words: str) -> Callable[[Path], None]:
    """Weights that are elsewhere: these words of the first tensor's, in place of what they were."""

    def damage(bundle: Path) -> None:
        def change(model: onnx.ModelProto) -> None:
            tensor = next(each for each in model.graph.initializer if each.external_data)
            said = {entry.key: entry.value for entry in tensor.external_data} | words
            del tensor.external_data[:]
            for key, value in said.items():
                tensor.external_data.add(key=key, value=value)

        regraph(bundle, change)

    return damage


def twice(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.external_data)
        tensor.external_data.add(key="location", value="/etc/passwd")

    regraph(bundle, change)


def node(op: str, domain: str) -> Callable[[Path], None]:
    return lambda bundle: regraph(bundle, lambda model: model.graph.node.append(_call(op, domain)))


def _call(op: str, domain: str) -> onnx.NodeProto:
    return helper.make_node(op, [], ["x"], domain=domain)


def in_a_branch(bundle: Path) -> None:
    """An operator in the branch of a branch, where the graph itself has none that is strange."""

    def change(model: onnx.ModelProto) -> None:
        deep = helper.make_graph([_call("Run", "evil")], "deep", [], [])
        middle = helper.make_node("If", ["c"], ["y"], then_branch=deep, else_branch=deep)
        graph = helper.make_graph([middle], "middle", [], [])
        model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph))

    regraph(bundle, change)


def in_a_function(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        imports = [helper.make_opsetid("evil", 1)]
        model.functions.append(helper.make_function("own", "f", [], ["x"], [_call("Run", "evil")], imports))
        model.graph.node.append(_call("f", "own"))

    regraph(bundle, change)


def tensor_in_an_attribute(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="/etc/passwd")
        model.graph.node.append(helper.make_node("Constant", [], ["k"], value=tensor))

    regraph(bundle, change)


def renamed(name: str) -> Callable[[Path], None]:
    """A manifest that names a file of its own as another one."""

    def change(data: dict[str, Any]) -> None:
        data["files"][name] = data["files"].pop(DATA)

    return lambda bundle: edit(bundle, change)


def graph_named(name: str) -> Callable[[Path], None]:
    return lambda bundle: edit(bundle, lambda data: data["graphs"]["decoder"].update(file=name))


def template(source: str) -> Callable[[Path], None]:
    """A manifest with another chat template."""
    return lambda bundle: edit(bundle, lambda data: data.update(chat_template=source))


def pattern(bundle: Path) -> None:
    """A tokenizer that splits texts by an expression that takes more time than there is."""
    tokenizer = json.loads((bundle / TOKENIZER_FILE).read_text())
    split = {"type": "Split", "pattern": {"Regex": "(a+)+c"}, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split]}
    replace_file(bundle, TOKENIZER_FILE, json.dumps(tokenizer).encode())


def device(bundle: Path) -> None:
    (bundle / TOKENIZER_FILE).unlink()
    (bundle / TOKENIZER_FILE).symlink_to("/dev/zero")


SIZE = (DEMO / DATA).stat().st_size
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "absolute location": (external(location="/etc/passwd"), 'weights in "/etc/passwd", which is not among'),
    "location above": (external(location="../secret"), 'weights in "../secret", which is not among'),
    "location above, hidden": (external(location="./x/../../secret"), "which is not among"),
    "location of its own, otherwise": (external(location=f"./{DATA}"), "which is not among"),
    "location with NUL": (external(location=f"{DATA}\0.png"), "which is not among"),
    "location on another system": (external(location="..\\secret"), "which is not among"),
    "location is empty": (external(location=""), 'weights in "", which is not among'),
    "location is memory": (external(location="*/_ORT_MEM_ADDR_/*", offset="140000000"), "which is not among"),
    "location not in the manifest": (external(location=MANIFEST_FILE), "which is not among"),
    "location twice": (twice, "says twice where weights are"),
    "offset behind the end": (external(offset=str(SIZE + 1), length="4"), f"which has {SIZE} bytes"),
    "length beyond the end": (external(offset="0", length=str(SIZE + 1)), f"which has {SIZE} bytes"),
    "negative offset": (external(offset="-8"), 'whose offset is "-8"'),
    "length that is no number": (external(length="1e3"), 'whose length is "1e3"'),
    "length that overflows": (external(length="9" * 30), "whose length is"),
    "operator of a library": (node("Run", "evil.ops"), 'operator "Run" of "evil.ops", which ONNX Runtime has not'),
    "operator in a branch": (in_a_branch, 'operator "Run" of "evil"'),
    "operator in a function": (in_a_function, 'operator "Run" of "evil"'),
    "operator that loads a file": (node("EPContext", "com.microsoft"), 'operator "EPContext" of "com.microsoft"'),
    "weights of a constant": (tensor_in_an_attribute, 'weights in "/etc/passwd"'),
    "absolute file": (renamed("/etc/passwd"), 'files names "/etc/passwd"'),
    "file above": (renamed("../decoder.onnx.data"), 'files names "../decoder.onnx.data"'),
    "file with NUL": (renamed("a\0b"), "files names"),
    "file on another system": (renamed("c:\\x"), "files names"),
    "graph above": (graph_named("../decoder.onnx"), 'graphs.decoder.file is "../decoder.onnx", which is not among'),
    "graph that is absolute": (graph_named("/etc/passwd"), "which is not among its files"),
    "graph with NUL": (graph_named("decoder\0.onnx"), "which is not among its files"),
    "a template that loops": (
        template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
        "the chat template cannot be used: it takes too much processor time",
    ),
    "a template that grows": (template("{{ 'x' * 10 ** 11 }}"), "cannot be used: it makes a value of 100000000000"),
    "a pattern without a bound": (pattern, "has the pattern '(a+)+c', which repeats what matches in several ways"),
    "a device": (device, "the file is missing from the bundle"),
    "a graph that is none": (lambda bundle: replace_file(bundle, GRAPH, b"\xff" * 50), "is not an ONNX file"),
    "a graph that is empty": (lambda bundle: replace_file(bundle, GRAPH, b""), "is not an ONNX file: it is empty"),
    "a deep manifest": (lambda b: (b / MANIFEST_FILE).write_text("[" * 100_000), "is not valid JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_by_file_and_cause(name: str, bundle: Path) -> None:
    damage, said = HOSTILE[name]
    damage(bundle)
    with pytest.raises(BundleError) as caught:
        load(bundle)
    assert said in str(caught.value)


def test_a_link_is_followed_to_what_the_manifest_says_alone(bundle: Path, tmp_path: Path) -> None:
    (bundle / TOKENIZER_FILE).rename(tmp_path / "elsewhere")
    (bundle / TOKENIZER_FILE).symlink_to(tmp_path / "elsewhere")
    models, _ = load(bundle)
    assert models.models
    size = (tmp_path / "elsewhere").stat().st_size
    (tmp_path / "elsewhere").write_bytes(b"x" * size)
    with pytest.raises(BundleError, match="the file is corrupt"):
        load(bundle)


def test_weights_behind_a_link_that_leaves_the_folder_are_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / DATA).rename(tmp_path / "elsewhere")
    (bundle / DATA).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="escapes model directory"):
        load(bundle)


def test_files_that_are_too_large_are_not_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attendant.models.text.MAX_TOKENIZER", 10)
    with pytest.raises(BundleError, match="bytes; allowed: at most 10"):
        load_tokenizer(bundle)
    monkeypatch.setattr("attendant.bundle.files.MAX_MANIFEST", 10)
    with pytest.raises(BundleError, match="bytes; allowed: at most 10"):
        read_any_manifest(bundle)


def test_what_is_named_is_what_the_library_reads(bundle: Path) -> None:
    model = onnx.load(bundle / GRAPH, load_external_data=False)
    names = read_names(bundle / GRAPH)
    assert names.operators == {(each.domain, each.op_type) for each in model.graph.node}
    found = [{entry.key: entry.value for entry in each.external_data} for each in model.graph.initializer]
    assert [dict(each.words) for each in names.external] == [each for each in found if each]
    check_graph_files(bundle, read_any_manifest(bundle))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_does_more_than_to_be_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = bytearray((DEMO / GRAPH).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(graph) - 1))
        graph[begin : begin + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    file = tmp_path_factory.mktemp("damaged") / "x.onnx"
    file.write_bytes(graph)
    try:
        names = read_names(file)
    except OnnxBroken:
        return
    assert all(isinstance(word, str) for each in names.external for pair in each.words for word in pair)


def test_a_manifest_may_be_a_folder(bundle: Path) -> None:
    (bundle / MANIFEST_FILE).unlink()
    (bundle / MANIFEST_FILE).mkdir()
    with pytest.raises(BundleError, match="cannot be read"):
        read_any_manifest(bundle)
    assert json.loads((DEMO / MANIFEST_FILE).read_text())
