"""A terminal's lines with their colours as an SVG, so that a page can show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from attendant.client.explain.painter import width

GROUND, LETTERS = "#14161b", "#e6e6e6"
CELL, LINE, EDGE = 8.0, 19, 14
_SHADED = re.compile(r"\x1b\[48;2;(\d+);(\d+);(\d+)m\x1b\[38;2;(\d+);(\d+);(\d+)m(.*?)\x1b\[0m")


def screen(lines: Iterable[str], columns: int) -> str:
    """The picture of lines that have at most ``columns`` columns; longer ones are cut."""
    shown = list(lines)
    size = columns * CELL + 2 * EDGE, len(shown) * LINE + 2 * EDGE
    title = escape(_SHADED.sub(r"\7", shown[0]))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]:g}" height="{size[1]:g}" '
        f'viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" font-family="DejaVu Sans Mono, monospace" font-size="13">',
        f"<title>{title}</title>",
        f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>',
    ]
    for number, line in enumerate(shown):
        parts += _line(line, EDGE + number * LINE, columns)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(line: str, top: float, columns: int) -> Iterator[str]:
    column = 0
    for whole, ground, letters in _pieces(line):
        text = whole[: max(columns - column, 0)]
        if not text:
            continue
        x, wide = EDGE + column * CELL, width(text) * CELL
        if ground:
            yield f'<rect x="{x:g}" y="{top:g}" width="{wide:g}" height="{LINE}" fill="{ground}"/>'
        if text.strip():
            yield (
                f'<text x="{x:g}" y="{top + LINE - 5:g}" fill="{letters}" textLength="{wide:g}" xml:space="preserve">'
                f"{escape(text)}</text>"
            )
        column += width(text)


def _pieces(line: str) -> Iterator[tuple[str, str, str]]:
    """Text, its ground ("" for none) and the colour of its letters."""
    place = 0
    for found in _SHADED.finditer(line):
        yield line[place : found.start()], "", LETTERS
        colors = [int(value) for value in found.groups()[:6]]
        yield found[7], "#{:02x}{:02x}{:02x}".format(*colors[:3]), "#{:02x}{:02x}{:02x}".format(*colors[3:])
        place = found.end()
    yield line[place:], "", LETTERS
