"""A bundle that is there gets graphs that give its attention; what it had stays as it was, to the byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import MANIFEST_FILE, read_any_manifest, verify_files
from attendant.demo import demo_bundle
from attendant_export.attention.existing import add_attention
from attendant_export.cli import main
from attendant_export.errors import AttentionError

from tests.synthetic_encoder import make_text_encoder

DEMO = demo_bundle().parent
NAMES = ("bundle", "sentiment", "shapes", "translator")
GRAPHS = ("attention", "attention_source")


def before(name: str, folder: Path) -> Path:
    """A demo bundle as an older exporter wrote it."""
    bundle = Path(shutil.copytree(DEMO / name, folder / name))
    content = json.loads((bundle / MANIFEST_FILE).read_text())
    del content["attention"]
    for graph in GRAPHS:
        if content["graphs"].pop(graph, None) is not None:
            (bundle / f"{graph}.onnx").unlink()
            del content["files"][f"{graph}.onnx"]
    (bundle / MANIFEST_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return bundle


def files_of(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_the_demo_bundles_are_what_the_command_makes_of_older_ones(name: str, tmp_path: Path) -> None:
    bundle = before(name, tmp_path)
    was = files_of(bundle)

    assert main(["--add-attention", str(bundle)]) == 0

    manifest = read_any_manifest(bundle)
    verify_files(bundle, manifest)
    assert files_of(bundle) == files_of(DEMO / name)
    assert {file: content for file, content in files_of(bundle).items() if file in was} | {MANIFEST_FILE: b""} == {
        **was,
        MANIFEST_FILE: b"",
    }
    parts: dict[str, Any] = json.loads((bundle / MANIFEST_FILE).read_text())
    older: dict[str, Any] = json.loads(was[MANIFEST_FILE])
    assert {key: parts[key] for key in older if key not in ("graphs", "files")} == {
        key: older[key] for key in older if key not in ("graphs", "files")
    }


def test_weights_are_not_written_twice() -> None:
    for name in NAMES:
        for graph in GRAPHS:
            file = DEMO / name / f"{graph}.onnx"
            assert not file.exists() or file.stat().st_size < 50_000


def test_a_bundle_that_gives_attention_is_left_alone(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(DEMO / "shapes", tmp_path / "shapes"))
    was = files_of(bundle)

    with pytest.raises(AttentionError, match=r"gives attention already \(fused\)"):
        add_attention(bundle)

    assert files_of(bundle) == was


def test_a_graph_without_attention_nodes_says_what_would_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_text_encoder(tmp_path / "m")
    was = files_of(bundle)

    assert main(["--add-attention", str(bundle)]) == 2

    told = capsys.readouterr().err
    assert "no attention node" in told
    assert "--attention eager" in told
    assert files_of(bundle) == was


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--add-attention", str(tmp_path)]) == 2
    assert f"error: {tmp_path} is no bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--add-attention", "bundle", "out"], "nothing else"), ([], "SOURCE"), (["source"], "OUT")],
)
def test_the_command_asks_for_what_it_needs(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
