"""The page on Kubernetes has every alert, and every file of values that there is."""

from __future__ import annotations

import re

from deploy.files import HERE
from deploy.prometheus.alerts import ALERTS
from deploy.prometheus.burn import burn_alerts
from tests.docs.markdown import REPOSITORY

TEXT = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def test_every_alert_leads_to_its_section() -> None:
    led = dict(re.findall(r"\[(Attendant\w+)\]\(alerts\.md#(\w+)\)", TEXT))
    assert {*led} == {alert.name for alert in (*ALERTS, *burn_alerts())}
    assert all(section == name.lower() for name, section in led.items())


def test_every_file_of_values_is_told() -> None:
    examples = HERE / "chart" / "examples"
    told = set(re.findall(r"`(?:deploy/chart/examples/)?((?:values/)?[\w-]+\.yaml)`", TEXT))
    assert {str(path.relative_to(examples)) for path in examples.rglob("*.yaml")} <= told
