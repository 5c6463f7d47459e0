"""The page is part of the wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

from attendant.http.page.files import page_files
from hatchling.builders.wheel import WheelBuilder

REPOSITORY = Path(__file__).parents[3]


def test_the_wheel_has_every_file_of_the_page(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(REPOSITORY)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        for name, file in page_files().items():
            assert archive.read(f"attendant/http/page/static/{name}") == file.body
