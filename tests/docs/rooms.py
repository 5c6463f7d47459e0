"""The page docs/rooms.md and its picture: which rooms there are, from the import contract and the tree."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

REPOSITORY = Path(__file__).parents[2]
TEXT_WIDTH, ROW_GAP, MARGIN, STACK, ASIDE = 6.5, 14, 16, 800, 230
LINE, TITLE = 14, 24
STYLE = (
    "text{font:12px Helvetica,Arial,sans-serif;fill:#333}.t{font-weight:bold;font-size:13px;fill:#000}"
    "rect{fill:#eef3fb;stroke:#5b7db1}.a rect{fill:#f4f1e8;stroke:#a3925b}"
    "path{stroke:#5b7db1;fill:none}"
)
HEADER = """# Rooms

The server is a house of rooms, one folder each. Imports only go down: a room knows those below it, never one above it,
and rooms on one floor do not know each other. `lint-imports` holds this in every run of the tests.

![The rooms of the server from top to bottom, and what stands beside it](rooms.svg)

Written by `python -m tests.docs` from the import contract in `pyproject.toml` and the docstrings of the rooms; a test
keeps it true.

"""


@dataclass(frozen=True)
class Room:
    """A module or a package of the tree. ``decides``: the first paragraph of its docstring."""

    name: str
    path: Path
    decides: str


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def _contracts() -> list[dict[str, Any]]:
    return list(_project()["importlinter"]["contracts"])


def floors() -> list[list[Room]]:
    """The server's rooms, a list for each layer of the contract, from top to bottom."""
    house = next(c for c in _contracts() if c.get("containers") == ["attendant"])
    return [
        [_room(f"attendant.{room.strip(' ()')}", "server") for room in re.split(r"[|:]", layer)]
        for layer in house["layers"]
    ]


def beside() -> list[Room]:
    """The other packages of the repository, in the order of the wheel."""
    packages = _project()["hatch"]["build"]["targets"]["wheel"]["packages"]
    return [_room(Path(p).name, Path(p).parts[0]) for p in packages if Path(p).name != "attendant"]


def rooms_page() -> str:
    """The page."""
    lines = ["## From top to bottom", "", "| floor | room | decides |", "|---|---|---|"]
    for number, floor in enumerate(floors(), start=1):
        for room in floor:
            lines += [f"| {number} | {_row(room)}", *(f"| | {_row(inner)}" for inner in _inner(room))]
    lines += ["", "## Beside the server", "", "| package | is |", "|---|---|"]
    lines += [f"| {_row(room)}" for room in beside()]
    lines += ["", "## What the contract says", ""]
    lines += [f"- {c['name']}." for c in _contracts()]
    return HEADER + "\n".join(lines) + "\n"


def rooms_picture() -> str:
    """The picture, as SVG without anything to fetch."""
    parts: list[str] = []
    top = MARGIN
    for floor in floors():
        width = (STACK - ROW_GAP * (len(floor) - 1)) / len(floor)
        height = max(_height(room, width) for room in floor)
        if parts:
            parts.append(f'<path d="M{MARGIN + STACK / 2} {top - ROW_GAP}v{ROW_GAP - 5}m-4 -3l4 6l4 -6"/>')
        for place, room in enumerate(floor):
            parts += _box(room, MARGIN + place * (width + ROW_GAP), top, width, height)
        top += height + ROW_GAP
    left, lower = MARGIN + STACK + 2 * ROW_GAP, MARGIN
    parts.append('<g class="a">')
    for room in beside():
        height = _height(room, ASIDE)
        parts += _box(room, left, lower, ASIDE, height)
        lower += height + ROW_GAP
    width, height = left + ASIDE + MARGIN, max(top, lower) - ROW_GAP + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    paper = f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", paper, *parts, "</g>", "</svg>"]) + "\n"


def _room(name: str, folder: str) -> Room:
    path = REPOSITORY.joinpath(folder, *name.split("."))
    if path.is_dir():
        return Room(name, path, _docstring(path / "__init__.py"))
    return Room(name, path.with_suffix(".py"), _docstring(path.with_suffix(".py")))


def _inner(room: Room) -> list[Room]:
    folders = sorted(path.parent for path in room.path.glob("*/__init__.py")) if room.path.is_dir() else []
    return [_room(f"{room.name}.{folder.name}", "server") for folder in folders]


def _docstring(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else None
    return " ".join((text or "").partition("\n\n")[0].replace("``", "`").split())


def _row(room: Room) -> str:
    path = str(room.path.relative_to(REPOSITORY)) + ("/" if room.path.is_dir() else "")
    return f"`{path}` | {room.decides} |"


def _lines(room: Room, width: float) -> list[str]:
    return wrap(room.decides.replace("`", ""), int((width - 20) / TEXT_WIDTH))


def _height(room: Room, width: float) -> int:
    return TITLE + LINE * len(_lines(room, width)) + 10


def _box(room: Room, left: float, top: float, width: float, height: float) -> Iterator[str]:
    yield f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="5"/>'
    title = room.name.removeprefix("attendant.")
    yield f'<text class="t" x="{left + 10:g}" y="{top + 18:g}">{escape(title)}</text>'
    for number, line in enumerate(_lines(room, width)):
        yield f'<text x="{left + 10:g}" y="{top + TITLE + 12 + number * LINE:g}">{escape(line)}</text>'
