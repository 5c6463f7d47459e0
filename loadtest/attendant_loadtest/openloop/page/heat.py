"""How long things took over the time: the fuller a field, the more of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from attendant_loadtest.openloop.page.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, across, number

COLUMNS, ROWS = 48, 20


def heat_map(title: str, points: Sequence[tuple[float, float]]) -> str:
    """A picture of (seconds from the begin, milliseconds). The share of a field that is filled is that of its column's
    fullest one, as a square: shades alone would be for those who see them."""
    seconds = max((at for at, _ in points), default=1.0) or 1.0
    values = [max(value, 1e-3) for _, value in points]
    low, high = min(values, default=1.0) / 1.05, max(values, default=1.0) * 1.05
    right = across(0.0, seconds)
    up = Scale(low, high, HEIGHT - BOTTOM, TOP, log=True)
    counts = Counter((_place(at, 0.0, seconds, COLUMNS), _row(value, low, high)) for at, value in points)
    parts = [*_axes(right, up), *_fields(counts, seconds, low, high)]
    said = f"{title}: {len(points)} values from {number(min(values, default=0))} to {number(max(values, default=0))} ms"
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
        f"<figcaption>{escape(title)}, ms, over the seconds of the run; {len(points)} values</figcaption></figure>"
    )


def _axes(right: Scale, up: Scale) -> Iterator[str]:
    for tick in up.ticks():
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>'
    for tick in right.ticks():
        yield f'<text x="{right(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{number(tick)} s</text>'


def _fields(counts: Counter[tuple[int, int]], seconds: float, low: float, high: float) -> Iterator[str]:
    wide, tall = (WIDTH - RIGHT - LEFT) / COLUMNS, (HEIGHT - BOTTOM - TOP) / ROWS
    most = max(counts.values(), default=1)
    for (column, row), count in sorted(counts.items()):
        share = math.sqrt(count / most)
        x, y = LEFT + (column + 0.5) * wide, HEIGHT - BOTTOM - (row + 0.5) * tall
        width, height = max(2.0, share * wide), max(2.0, share * tall)
        begin_s, upper = column * seconds / COLUMNS, low * (high / low) ** ((row + 1) / ROWS)
        yield (
            f'<rect class="heat" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{count} up to {number(upper)} ms at {number(begin_s)} s</title></rect>'
        )


def _place(value: float, low: float, high: float, places: int) -> int:
    return min(places - 1, max(0, int(places * (value - low) / (high - low)))) if high > low else 0


def _row(value: float, low: float, high: float) -> int:
    return _place(math.log(max(value, 1e-3)), math.log(low), math.log(high), ROWS)
