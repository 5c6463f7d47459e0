"""What a panel of a dashboard is made of, and how Grafana writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["timeseries", "stat", "heatmap", "state-timeline", "table", "bargauge"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
Steps = tuple[tuple[float | None, str], ...]
"""From which value on a panel has which colour; the first one has no value."""


def more_is_worse(warn: float, bad: float) -> Steps:
    """Green, yellow from ``warn`` on, red from ``bad`` on."""
    return ((None, GREEN), (warn, YELLOW), (bad, RED))


def more_is_better(warn: float, good: float) -> Steps:
    """Red, yellow from ``warn`` on, green from ``good`` on."""
    return ((None, RED), (warn, YELLOW), (good, GREEN))


@dataclass(frozen=True)
class Query:
    """One of PromQL, and what its series are called: ``{{label}}`` stands for a label's value."""

    text: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A picture of some queries.

    Attributes:
        says: what it shows and what to make of it, for a newcomer.
        unit: Grafana's id of it: s, short, percentunit, bytes, reqps, ...
        width, height: in columns (a dashboard has 24) and rows.
        steps: colours by value. A panel over time draws them as lines.
        most: where the axis or the bar ends.
        stacked: series stand on each other.
        words: what values are called: (value, word, colour).
    """

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    steps: Steps = ()
    most: float | None = None
    stacked: bool = False
    words: tuple[tuple[int, str, str], ...] = field(default=())

    def to_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """As Grafana reads it, at a place of the dashboard."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.says,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": self._options(),
            "targets": [self._target(query, chr(ord("A") + i)) for i, query in enumerate(self.queries)],
        }

    def _target(self, query: Query, name: str) -> dict[str, Any]:
        at_once = self.kind in ("table", "stat", "bargauge")
        return {
            "refId": name,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.text,
            "legendFormat": query.legend,
            "range": not at_once,
            "instant": at_once,
            "exemplar": self.kind == "timeseries" and "_bucket{" in query.text,
            "format": {"table": "table", "heatmap": "heatmap"}.get(self.kind, "time_series"),
        }

    def _field(self) -> dict[str, Any]:
        steps = self.steps or ((None, BLUE if self.kind == "stat" else GREEN),)
        found: dict[str, Any] = {
            "unit": self.unit,
            "min": 0,
            "color": {"mode": "thresholds" if self.kind != "timeseries" else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": [{"value": at, "color": color} for at, color in steps]},
            "mappings": self._mappings(),
        }
        if self.most is not None:
            found["max"] = self.most
        if self.kind == "timeseries":
            found["custom"] = {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 20 if self.stacked else 0,
                "showPoints": "never",
                "spanNulls": False,
                "stacking": {"mode": "normal" if self.stacked else "none"},
                "thresholdsStyle": {"mode": "line" if self.steps else "off"},
            }
        return found

    def _mappings(self) -> list[dict[str, Any]]:
        if not self.words:
            return []
        options = {str(value): {"text": word, "color": color} for value, word, color in self.words}
        return [{"type": "value", "options": options}]

    def _options(self) -> dict[str, Any]:
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        options: dict[Kind, dict[str, Any]] = {
            "timeseries": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
            "stat": {
                "reduceOptions": reduced,
                "colorMode": "background" if self.steps or self.words else "value",
                "graphMode": "none",
                "textMode": "value_and_name",
                "justifyMode": "center",
            },
            "bargauge": {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "lcd"},
            "heatmap": {
                "calculate": False,
                "cellGap": 0,
                "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
                "yAxis": {"unit": self.unit},
                "legend": {"show": True},
                "tooltip": {"show": True},
            },
            "state-timeline": {"legend": legend, "mergeValues": True, "showValue": "never", "rowHeight": 0.8},
            "table": {"showHeader": True, "cellHeight": "sm"},
        }
        return options[self.kind]
