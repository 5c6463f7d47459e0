"""Draws a dashboard from recorded data, as one SVG: what Grafana shows, with fewer ornaments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

COLUMN, ROW, EDGE = 52, 30, 8
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8500", "#555555")
"""Okabe and Ito's, which people with colour blindness can tell apart; its yellow is darker, for white paper."""
NAMED = {"green": "#2e7d32", "yellow": "#b8860b", "red": "#c62828", "blue": "#0072b2"}
LEGENDS = 5


@dataclass(frozen=True)
class Line:
    """A series: its legend, and values at times in seconds."""

    name: str
    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


Ask = Callable[[str, str], list[Line]]
"""Series of a query and its legend, over the time that is drawn."""


def draw(board: dict[str, Any], ask: Ask, last: str = "") -> str:
    """The picture of a dashboard as ``deploy.grafana`` makes it, with closed rows open; up to the row ``last``."""
    parts: list[str] = []
    bottom = 0
    seen_last = False
    for panel in board["panels"]:
        at = panel["gridPos"]
        if panel["type"] == "row" and seen_last:
            break
        seen_last = seen_last or panel["title"] == last
        parts += _heading(panel) if panel["type"] == "row" else _panel(panel, ask)
        for inner in panel.get("panels", ()):
            parts += _panel(inner, ask)
            bottom = max(bottom, inner["gridPos"]["y"] + inner["gridPos"]["h"])
        bottom = max(bottom, at["y"] + at["h"])
    size = f'width="{24 * COLUMN}" height="{bottom * ROW}" viewBox="0 0 {24 * COLUMN} {bottom * ROW}"'
    style = 'font-family="sans-serif" font-size="11" fill="#222"'
    title = f"<title>{escape(board['title'])}</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} role="img">{title}'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def _heading(panel: dict[str, Any]) -> list[str]:
    y = panel["gridPos"]["y"] * ROW
    return [f'<text x="{EDGE}" y="{y + 20}" font-size="15" font-weight="bold">{escape(panel["title"])}</text>']


def _panel(panel: dict[str, Any], ask: Ask) -> Iterator[str]:
    at = panel["gridPos"]
    x, y = at["x"] * COLUMN + 4, at["y"] * ROW + 4
    width, height = at["w"] * COLUMN - 8, at["h"] * ROW - 8
    yield f'<g transform="translate({x} {y})"><rect width="{width}" height="{height}" fill="none" stroke="#ccc"/>'
    yield f'<text x="{EDGE}" y="16" font-weight="bold">{escape(panel["title"])}</text>'
    lines = [line for target in panel["targets"] for line in ask(target["expr"], target["legendFormat"])]
    lines = [line for line in lines if any(math.isfinite(value) for _, value in line.points)]
    if panel["type"] == "timeseries":  # what is always 0 would lie over the others
        lines = [line for line in lines if any(value for _, value in line.points)] or lines
    if not lines:
        yield f'<text x="{width / 2}" y="{height / 2}" text-anchor="middle" fill="#888">nothing was recorded</text>'
    elif panel["type"] == "stat":
        yield from _stat(panel, lines, width, height)
    elif panel["type"] == "heatmap":
        yield from _heatmap(lines, width, height)
    else:
        yield from _curves(panel, lines, width, height)
    yield "</g>"


def _stat(panel: dict[str, Any], lines: list[Line], width: float, height: float) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    each = (height - 28) / len(lines)
    for i, line in enumerate(lines):
        value = line.points[-1][1]
        shown, color = spoken(value, defaults["unit"]), NAMED["blue"]
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is None or value >= step["value"]:
                color = NAMED[step["color"]]
        for mapping in defaults["mappings"]:
            if word := mapping["options"].get(f"{value:g}"):
                shown, color = word["text"], NAMED[word["color"]]
        top = 24 + i * each
        yield f'<rect x="4" y="{top:.1f}" width="{width - 8}" height="{each - 3:.1f}" fill="{color}"/>'
        middle = top + each / 2 + 3
        yield f'<text x="{EDGE}" y="{middle:.1f}" fill="#fff">{escape(line.name)}</text>'
        yield (
            f'<text x="{width - EDGE}" y="{middle:.1f}" fill="#fff" text-anchor="end" font-weight="bold">'
            f"{escape(shown)}</text>"
        )


def _curves(panel: dict[str, Any], lines: list[Line], width: float, height: float) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal":
        lines = _stacked(lines)
    finite = [value for line in lines for _, value in line.points if math.isfinite(value)]
    most = defaults.get("max") or max([*finite, 0.0]) or 1.0
    times = [time for line in lines for time, _ in line.points]
    first, span = min(times), (max(times) - min(times)) or 1.0
    legends = lines[:LEGENDS]
    left, top, bottom = 62, 28, height - 10 - 14 * len(legends)
    for share in (0.0, 0.5, 1.0):
        level = bottom - share * (bottom - top)
        yield f'<path d="M{left} {level:.1f}H{width - EDGE}" stroke="#e4e4e4"/>'
        text = spoken(share * most, defaults["unit"])
        yield f'<text x="{left - 5}" y="{level + 4:.1f}" text-anchor="end" fill="#555">{text}</text>'
    for i, line in enumerate(lines):
        color = PALETTE[i % len(PALETTE)]
        points = " ".join(
            f"{left + (time - first) / span * (width - EDGE - left):.1f},"
            f"{bottom - min(max(value / most, 0.0), 1.0) * (bottom - top):.1f}"
            for time, value in line.points
            if math.isfinite(value)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>'
        if i < LEGENDS:
            more = f" (and {len(lines) - LEGENDS} more)" if i == LEGENDS - 1 and len(lines) > LEGENDS else ""
            name = escape(line.name + more)
            yield f'<text x="{EDGE}" y="{bottom + 18 + 14 * i:.1f}" fill="{color}">&#9632; {name}</text>'


def _stacked(lines: list[Line]) -> list[Line]:
    below: dict[float, float] = {}
    stacked = []
    for line in lines:
        for time, value in line.points:
            below[time] = below.get(time, 0.0) + (value if math.isfinite(value) else 0.0)
        stacked.append(Line(line.name, line.labels, tuple((time, below[time]) for time, _ in line.points)))
    return stacked


def _heatmap(lines: list[Line], width: float, height: float) -> Iterator[str]:
    """Buckets of Prometheus count all that is at most their edge; a cell shows what it has beyond the one below."""
    buckets = sorted(lines, key=lambda line: float(line.labels["le"]))
    values = [dict(line.points) for line in buckets]
    cells = [
        {time: max(0.0, count - (values[i - 1].get(time, 0.0) if i else 0.0)) for time, count in here.items()}
        for i, here in enumerate(values)
    ]
    full = [i for i, row in enumerate(cells) if any(row.values())] or [0]
    shown = range(full[0], full[-1] + 1)
    times = sorted({time for row in cells for time in row})
    most = max([*(value for row in cells for value in row.values()), 1e-9])
    left, top, bottom = 62, 28, height - 10
    cell_width, cell_height = (width - EDGE - left) / len(times), (bottom - top) / len(shown)
    for place, i in enumerate(shown):
        y = bottom - (place + 1) * cell_height
        edge = float(buckets[i].labels["le"])
        text = "more" if math.isinf(edge) else spoken(edge, "s")
        yield f'<text x="{left - 5}" y="{y + cell_height / 2 + 4:.1f}" text-anchor="end" fill="#555">{text}</text>'
        for column, time in enumerate(times):
            if value := cells[i].get(time, 0.0):
                yield (
                    f'<rect x="{left + column * cell_width:.1f}" y="{y:.1f}" width="{cell_width:.1f}" '
                    f'height="{cell_height:.1f}" fill="{NAMED["blue"]}" fill-opacity="{value / most:.2f}"/>'
                )


def spoken(value: float, unit: str) -> str:
    """A value with its unit, short."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    if unit == "reqps":
        return f"{value:.3g}/s"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def legend_of(form: str, labels: dict[str, str]) -> str:
    """A legend with the labels' values filled in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form).strip()
