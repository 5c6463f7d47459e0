"""Which files of deploy/ are made from code."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana import dashboards
from deploy.prometheus import manifest, rules_file

HERE = Path(__file__).parent


def files() -> dict[str, str]:
    """Their texts, by path below deploy/."""
    boards = {
        f"grafana/dashboards/{name}.json": json.dumps(board, indent=1, ensure_ascii=False) + "\n"
        for name, board in dashboards().items()
    }
    return {
        "prometheus/attendant.rules.yaml": rules_file(),
        "kubernetes/prometheus-rule.yaml": manifest(),
        **boards,
    }
