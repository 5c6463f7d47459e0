"""The committed stubs are what the generator makes of the proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[1] / "proto"
SOURCES = sorted(path.relative_to(PROTO) for path in PROTO.rglob("*.proto"))
pytest.importorskip("grpc_tools")


def test_committed_stubs_are_current(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}"]
    command += [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([*command, *map(str, SOURCES)], check=True, timeout=300)
    generated = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2*.py*")}
    committed = {
        path.relative_to(PROTO): path.read_text() for path in PROTO.rglob("*_pb2*.py*") if "cache" not in str(path)
    }
    assert generated.keys() == committed.keys()
    stale = [str(path) for path, text in generated.items() if committed[path] != text]
    assert not stale, f"run `make proto`: {stale}"
