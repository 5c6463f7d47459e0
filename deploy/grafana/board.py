"""What a dashboard is made of: variables, rows of panels in the order they are read, links to its siblings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.grafana.panel import DATASOURCE, Panel

SCHEMA_VERSION = 39
"""Of the files of Grafana 11; later versions read it and convert it."""
COLUMNS = 24


@dataclass(frozen=True)
class Variable:
    """What the reader chooses at the top: the values of a label.

    Attributes:
        query: a metric and matchers whose series have the label.
        several: more than one may be chosen, or all.
    """

    name: str
    title: str
    label: str
    query: str
    several: bool = True

    def to_json(self) -> dict[str, Any]:
        """As Grafana reads it."""
        query = f"label_values({self.query}, {self.label})"
        return {
            "name": self.name,
            "label": self.title,
            "type": "query",
            "datasource": DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": self.name},
            "refresh": 2,  # when the range of time changes: models come and go
            "sort": 1,
            "multi": self.several,
            "includeAll": self.several,
            **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if self.several else {}),
        }


JOB = Variable("job", "Job", "job", "attendant_build_info")
INSTANCE = Variable("instance", "Server", "instance", 'attendant_build_info{job=~"$job"}')
MODELS = Variable("model", "Model", "model_name", 'attendant_model_ready{job=~"$job"}')
MODEL = Variable("model", "Model", "model_name", 'attendant_model_ready{job=~"$job"}', several=False)


@dataclass(frozen=True)
class Row:
    """Panels under a heading, from left to right. ``closed``: until the reader opens it."""

    title: str
    panels: tuple[Panel, ...]
    closed: bool = False


@dataclass(frozen=True)
class Board:
    """A dashboard. ``uid`` is its name in addresses, and that of its file."""

    uid: str
    title: str
    says: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    refresh: str = "30s"
    since: str = "now-1h"

    def panels(self) -> list[Panel]:
        """All panels."""
        return [panel for row in self.rows for panel in row.panels]

    def to_json(self) -> dict[str, Any]:
        """As Grafana reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.says,
            "tags": ["attendant"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,  # one line through all panels
            "refresh": self.refresh,
            "time": {"from": self.since, "to": "now"},
            "timezone": "browser",
            "templating": {"list": [_DATASOURCE_VARIABLE, *(variable.to_json() for variable in self.variables)]},
            "annotations": {"list": []},
            "links": [_LINKS],
            "panels": self._laid_out(),
        }

    def _laid_out(self) -> list[dict[str, Any]]:
        placed: list[dict[str, Any]] = []
        y = number = 0
        for row in self.rows:
            number += 1
            heading = {"id": number, "type": "row", "title": row.title, "collapsed": row.closed, "panels": []}
            placed.append({**heading, "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}})
            y += 1
            inside: list[dict[str, Any]] = []
            x = tallest = 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                number += 1
                inside.append(panel.to_json(number, x, y))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
            if row.closed:
                placed[-1]["panels"] = inside
            else:
                placed += inside
        return placed


_DATASOURCE_VARIABLE = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
}
_LINKS = {
    "title": "Attendant",
    "type": "dashboards",
    "tags": ["attendant"],
    "icon": "external link",
    "tooltip": "",
    "targetBlank": False,
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
}
