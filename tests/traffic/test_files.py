"""Files of lines that stay within a size."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.traffic.files import RotatingFile


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("max_files", "expected"),
    [
        (1, {"f": "555\n"}),
        (2, {"f": "555\n", "f.1": "333\n444\n"}),
        (9, {"f": "555\n", "f.1": "333\n444\n", "f.2": "111\n222\n"}),
    ],
)
def test_full_files_are_numbered_and_the_oldest_go(tmp_path: Path, max_files: int, expected: dict[str, str]) -> None:
    file = RotatingFile(tmp_path / "f", max_bytes=8, max_files=max_files)
    file.open()
    for number in "12345":
        file.add(number.encode() * 3)
    file.close()
    assert texts(tmp_path) == expected
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_what_was_there_stays_and_counts(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old\n")
    (tmp_path / "f").chmod(0o644)
    file = RotatingFile(tmp_path / "f", max_bytes=8, max_files=2)
    file.open()
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    file.add(b"new")
    file.add(b"more")
    file.close()
    assert texts(tmp_path) == {"f": "more\n", "f.1": "old\nnew\n"}


def test_a_line_fits_with_its_end(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "f", max_bytes=8, max_files=2)
    assert file.fits(b"1234567")
    assert not file.fits(b"12345678")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        RotatingFile(tmp_path, max_bytes=8, max_files=2).open()
