"""Which files of deploy/ are made from code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.chart_schema import values_schema
from deploy.grafana import dashboards
from deploy.prometheus import rules_file

HERE = Path(__file__).parent


def files() -> dict[str, str]:
    """Their texts, by path below deploy/. The chart has rules and dashboards of its own, as Helm reads it alone."""
    boards = dashboards()
    return {
        "prometheus/attendant.rules.yaml": rules_file(),
        **{f"grafana/dashboards/{name}.json": _readable(board) for name, board in boards.items()},
        "chart/files/rules.yaml": rules_file(),
        **{f"chart/files/dashboards/{name}.json": _short(board) for name, board in boards.items()},
        "chart/values.schema.json": _readable(values_schema()),
    }


def _readable(made: dict[str, Any]) -> str:
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _short(made: dict[str, Any]) -> str:
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n"
