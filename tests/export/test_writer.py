"""A bundle appears whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attendant_export import writer
from attendant_export.errors import DiskFull, OutputError, OutputExists
from attendant_export.writer import bundle_folder


def _write(folder: Path, text: str = "new") -> None:
    (folder / "bundle.json").write_text(text)


def _bundle(path: Path, text: str = "old") -> Path:
    path.mkdir()
    _write(path, text)
    return path


def test_bundle_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "bundle"
    with bundle_folder(out) as folder:
        _write(folder)
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["bundle.json"]
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    assert out.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_leaves_what_was_there(error: type[BaseException], overwrite: bool, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    if overwrite:
        _bundle(out)

    def fail() -> None:
        with bundle_folder(out, overwrite=overwrite) as folder:
            _write(folder)
            raise error

    with pytest.raises(error):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == (["bundle"] if overwrite else [])
    if overwrite:
        assert (out / "bundle.json").read_text() == "old"


def test_existing_output_is_refused_before_the_work(tmp_path: Path) -> None:
    out = _bundle(tmp_path / "bundle")
    with pytest.raises(OutputExists, match="--overwrite"), bundle_folder(out):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("atomic", [True, False], ids=["exchange", "renames"])
def test_overwrite_swaps(atomic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not atomic:
        monkeypatch.setattr(writer, "_exchange", lambda one, other: False)
    out = _bundle(tmp_path / "bundle")
    (out / "stale.onnx").write_text("x")
    with bundle_folder(out, overwrite=True) as folder:
        _write(folder)
        assert (out / "bundle.json").read_text() == "old"
    assert [path.name for path in out.iterdir()] == ["bundle.json"]
    assert (out / "bundle.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_failed_swap_keeps_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_exchange", lambda one, other: False)
    out = _bundle(tmp_path / "bundle")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == out and not self.name.endswith("-old"):
            raise PermissionError(errno.EACCES, "no", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError), bundle_folder(out, overwrite=True) as folder:
        _write(folder)
    assert (out / "bundle.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("kind", ["file", "folder of other things", "link"])
def test_overwrite_replaces_bundles_only(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "link":
        out.symlink_to(_bundle(tmp_path / "elsewhere"))
    else:
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExists, match="bundles only"), bundle_folder(out, overwrite=True):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_told_and_leaves_nothing(code: int, tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="no space left"), bundle_folder(tmp_path / "bundle"):
        raise OSError(code, os.strerror(code))
    assert list(tmp_path.iterdir()) == []


def test_short_write_without_an_error_number_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_is_full", lambda folder: True)
    with pytest.raises(DiskFull), bundle_folder(tmp_path / "bundle"):
        raise OSError("4096 requested and 512 written")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), bundle_folder(tmp_path / "file" / "bundle"):
        pytest.fail("the block must not run")


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), bundle_folder(tmp_path / "bundle"):
        raise FileNotFoundError(errno.ENOENT, "gone", "/elsewhere/model.safetensors")


CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down one that is ignored
from pathlib import Path
from attendant_export.writer import bundle_folder
with bundle_folder(Path(sys.argv[1])) as folder:
    (folder / "decoder.onnx").write_bytes(b"x" * 1000)
    print("writing", flush=True)
    time.sleep(60)
"""


def _start(out: Path) -> subprocess.Popen[Any]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(out)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"writing\n"
    return child


def test_killed_export_leaves_a_hidden_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with _start(out) as child:
        child.kill()
    assert not out.exists()
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    with bundle_folder(out) as folder:
        _write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_interrupted_export_leaves_nothing(tmp_path: Path) -> None:
    with _start(tmp_path / "bundle") as child:
        child.send_signal(signal.SIGINT)
        child.wait(120)
    assert list(tmp_path.iterdir()) == []


def test_an_export_at_work_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with _start(out) as child:
        [theirs] = tmp_path.iterdir()
        with bundle_folder(out) as folder:
            _write(folder)
        assert theirs.exists()
        child.terminate()
    assert (out / "bundle.json").read_text() == "new"
