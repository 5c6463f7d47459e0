"""How a terminal shows a weight: by a background where it has colours, by bars and digits where it has none."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TextIO

from attendant.client.explain.colors import BLACK, DARK, DARK_AGAINST, LIGHT, LIGHT_AGAINST, RGB, WHITE
from attendant.client.terminal import printable

Depth = Literal["none", "256", "true"]
BARS = " ▁▂▃▄▅▆▇█"
DIGITS = "0123456789"
FAINT = 0.03  # of the largest: not worth a colour
_RESET = "\x1b[0m"

Shaded = tuple[str, float | None]
"""A piece of text, and its share of the largest weight: -1 to 1, below 0 where it spoke against; None: it has none."""


def depth_of(stream: TextIO, wanted: str, environment: Mapping[str, str] | None = None) -> Depth:
    """How many colours to use. ``wanted``: "always", "never", or "auto": on a terminal, unless NO_COLOR is set
    (no-color.org) or TERM is "dumb"."""
    known = os.environ if environment is None else environment
    term = known.get("TERM", "")
    if wanted == "never":
        return "none"
    if wanted == "auto" and (known.get("NO_COLOR") or term == "dumb" or not stream.isatty()):
        return "none"
    return "true" if known.get("COLORTERM") in ("truecolor", "24bit") else "256"


def is_dark(wanted: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a terminal is dark. ``wanted``: "dark", "light", or "auto": what COLORFGBG says, which some terminals set
    to the numbers of their colours; dark where none says so."""
    known = os.environ if environment is None else environment
    if wanted != "auto":
        return wanted == "dark"
    return known.get("COLORFGBG", "").rpartition(";")[2] not in ("7", "15")


def has_blocks(stream: TextIO) -> bool:
    """Whether bars can be written in the encoding of a stream."""
    try:
        BARS.encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


class Painter:
    """Makes lines of shaded text, ``columns`` wide."""

    def __init__(self, depth: Depth, columns: int, *, blocks: bool = True, dark: bool = True) -> None:
        self._ink, self._ramps = (WHITE, (DARK, DARK_AGAINST)) if dark else (BLACK, (LIGHT, LIGHT_AGAINST))
        self.depth = depth
        self.columns = max(columns, 20)
        self._blocks = blocks

    def cell(self, text: str, share: float | None) -> str:
        """A text in its shade; as it is where there are no colours."""
        if self.depth == "none" or share is None or abs(share) < FAINT:
            return text
        color = self._ramps[share < 0].at(abs(share))
        return f"{self._code(48, color)}{self._code(38, self._ink)}{text}{_RESET}"

    def level(self, share: float) -> str:
        """One character for a share of 0 to 1."""
        signs = BARS if self._blocks else DIGITS
        return signs[min(round(min(max(share, 0.0), 1.0) * (len(signs) - 1)), len(signs) - 1)]

    def bar(self, share: float, columns: int) -> str:
        """A bar of this share of ``columns``."""
        return ("█" if self._blocks else "#") * round(share * columns)

    def text(self, parts: Iterable[Shaded]) -> Iterator[str]:
        """Lines of text; without colours each with a line of levels below it."""
        for line in self._wrapped(parts):
            yield "".join(self.cell(text, share) for text, share in line).rstrip()
            if self.depth == "none":
                marks = "".join(self._mark(share) * width(text) for text, share in line)
                if marks.strip():
                    yield marks.rstrip()

    def _mark(self, share: float | None) -> str:
        if share is None:
            return " "
        return "-" if share < -FAINT else self.level(share)

    def _wrapped(self, parts: Iterable[Shaded]) -> Iterator[list[Shaded]]:
        line: list[Shaded] = []
        used = 0
        for text, share in parts:
            for number, piece in enumerate(printable(text.replace("\t", " ")).split("\n")):
                if number:
                    line.append(("⏎" if self._blocks else " ", share))
                    yield line
                    line, used = [], 0
                for chunk in _chunks(piece, self.columns):
                    if used + width(chunk) > self.columns:
                        yield line
                        line, used = [], 0
                    line.append((chunk, share))
                    used += width(chunk)
        if line:
            yield line

    def _code(self, layer: int, color: RGB) -> str:
        if self.depth == "true":
            return f"\x1b[{layer};2;{color[0]};{color[1]};{color[2]}m"
        red, green, blue = (round(value / 255 * 5) for value in color)
        return f"\x1b[{layer};5;{16 + 36 * red + 6 * green + blue}m"


def width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def padded(text: str, columns: int) -> str:
    """A text with spaces up to a width, or cut to it."""
    while width(text) > columns:
        text = text.removesuffix("…")[:-1] + "…"
    return text + " " * (columns - width(text))


def _chunks(text: str, columns: int) -> Iterator[str]:
    """A text in pieces that fit a line."""
    while width(text) > columns:
        count = next(count for count in range(len(text), 0, -1) if width(text[:count]) <= columns)
        yield text[:count]
        text = text[count:]
    if text:
        yield text
