"""Lines over a rate: told apart by their marks, their strokes and the name at their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from attendant_loadtest.openloop.page.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    across,
    number,
    upwards,
)

_STROKES = ("", "7 4", "2 3", "10 3 2 3")
_LINE_PX = 15


@dataclass(frozen=True, slots=True)
class Series:
    """A line with a name. Points are (x, y), in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines in one picture.

    Attributes:
        title: what is shown, with its unit. x: what the lower axis is.
        limit: a line across with a name; None: none.
        log: of the upper axis.
    """

    title: str
    x: str
    series: Sequence[Series]
    limit: tuple[str, float] | None = None
    log: bool = False

    def svg(self) -> str:
        """The picture, with its title as a caption."""
        drawn = [each for each in self.series if each.points]
        xs = [x for each in drawn for x, _ in each.points]
        ys = [y for each in drawn for _, y in each.points] + ([self.limit[1]] if self.limit else [])
        right, up = across(0.0, max(xs, default=1.0)), upwards(ys, log=self.log)
        parts = [*_grid(right, up, self.x), *self._limit(up)]
        for index, each in enumerate(drawn):
            parts += _line(index, each, right, up)
        parts += _names(drawn, up)
        said = "; ".join(f"{each.name}: {number(each.points[-1][1])} at {number(each.points[-1][0])}" for each in drawn)
        return (
            f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{self.title}. {said}")}">'
            f"{''.join(parts)}</svg><figcaption>{escape(self.title)}</figcaption></figure>"
        )

    def _limit(self, up: Scale) -> Iterator[str]:
        if self.limit is not None:
            name, value = self.limit
            y = up(value)
            yield f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{LEFT + 4}" y="{y - 4:.1f}">{escape(name)}</text>'


def _grid(right: Scale, up: Scale, x_name: str) -> Iterator[str]:
    for tick in up.ticks():
        y = up(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>'
    for tick in right.ticks():
        yield f'<text x="{right(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{number(tick)}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_name)}</text>'


def _line(index: int, series: Series, right: Scale, up: Scale) -> Iterator[str]:
    at = [(right(x), up(y)) for x, y in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    yield f'<polyline class="series" stroke-dasharray="{_STROKES[index % len(_STROKES)]}" points="{path}"/>'
    for (x, y), (rate, value) in zip(at, series.points, strict=True):
        title = f"<title>{escape(series.name)}: {number(value)} at {number(rate)}</title>"
        yield f'<g class="mark">{title}{_mark(index, x, y)}</g>'


def _mark(index: int, x: float, y: float) -> str:
    if index % 3 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    if index % 3 == 1:
        return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
    return f'<path d="M{x:.1f},{y - 4.5:.1f} l4.5,8 h-9 z"/>'


def _names(drawn: Sequence[Series], up: Scale) -> Iterator[str]:
    """At the end of each line, or where there is room for it below."""
    lowest = float(TOP - _LINE_PX)
    for each, y in sorted(((each, up(each.points[-1][1])) for each in drawn), key=lambda pair: pair[1]):
        lowest = max(y, lowest + _LINE_PX)
        yield f'<text x="{WIDTH - RIGHT + 10}" y="{lowest + 4:.1f}">{escape(each.name)}</text>'
