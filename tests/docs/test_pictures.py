"""The pictures of docs/explain-command.md are drawn from what was recorded, as the command draws today."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.docs.pictures import ASSETS, RECORDED, SHOTS, drawn

pytest.importorskip("matplotlib", reason="attendant[explain] is not installed")

MOST_BYTES = 150_000


def words(picture: str) -> list[str]:
    """All texts of a picture, which do not depend on the version of the library that drew it."""
    parts = ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(part.itertext()).split()) for part in parts]


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_says_what_was_recorded(name: str) -> None:
    path = ASSETS / f"{name}.svg"
    assert words(path.read_text(encoding="utf-8")) == words(drawn(name)), "python -m tests.docs.pictures"
    assert path.stat().st_size < MOST_BYTES


def test_no_picture_is_left_over() -> None:
    assert {path.stem for path in ASSETS.glob("*.svg")} == set(SHOTS)
    assert {path.stem for path in RECORDED.iterdir()} == {shot.recorded or name for name, shot in SHOTS.items()}
