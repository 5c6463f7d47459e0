"""Rules for Prometheus: what is recorded, and what alerts."""

from __future__ import annotations

from typing import Any

import yaml

from deploy.prometheus.alerts import ALERTS
from deploy.prometheus.burn import burn_alerts, burn_records

HEADER = """# Recording rules and alerts for Attendant, made by `python -m deploy`: change deploy/prometheus/*.py.
# docs/alerts.md says what each alert means and what to do.
"""


def groups() -> list[dict[str, Any]]:
    """The groups of rules, as Prometheus reads them."""
    return [
        {"name": "attendant-objectives", "rules": [record.rule() for record in burn_records()]},
        {"name": "attendant-budgets", "rules": [alert.rule() for alert in burn_alerts()]},
        {"name": "attendant-state", "rules": [alert.rule() for alert in ALERTS]},
    ]


def rules_file() -> str:
    """The text of attendant.rules.yaml."""
    return HEADER + yaml.safe_dump({"groups": groups()}, sort_keys=False, width=1000)
