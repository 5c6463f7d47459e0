"""Every alert fires, clears, and is explained; promtool tries each on figures of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from attendant.core.objectives import ObjectivesByModel
from attendant.metrics import Metrics, counts
from attendant.metrics.outcomes import error_name, request_errors
from attendant.settings import HttpSettings, SloSettings
from prometheus_client import CollectorRegistry

from deploy.files import HERE
from deploy.names import SCRAPE, metrics_of
from deploy.prometheus import groups
from deploy.prometheus.alerts import ALERTS
from deploy.prometheus.burn import burn_alerts, burn_records
from deploy.prometheus.objectives import CALLERS_FAULTS, OBJECTIVES
from tests.deploy.alert_cases import CASES, QUIET, Case, Quiet
from tests.deploy.metric_names import samples
from tests.deploy.prometheus import find

RULES = HERE / "prometheus" / "attendant.rules.yaml"
EVERY = (*burn_alerts(), *ALERTS)
LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
QUERIES = [rule["expr"] for group in groups() for rule in group["rules"]]


# -- what needs no Prometheus


def test_rules_ask_for_metrics_that_exist() -> None:
    known = samples() | SCRAPE | {record.name for record in burn_records()}
    assert {name for query in QUERIES for name in metrics_of(query)} <= known


def test_rules_ask_for_errors_that_exist() -> None:
    asked = re.findall(r'(?:error|outcome)[!=]~?"([^"]*)"', " ".join(QUERIES))
    errors = {error_name(error) for error in request_errors()}
    assert {word for words in asked for word in words.split("|")} <= errors | {"success", "cancelled"}
    assert {*CALLERS_FAULTS} - errors == {"cancelled"}
    assert {*CALLERS_FAULTS} == counts.CALLERS_FAULTS


def test_objectives_that_the_server_tells_are_those_of_its_settings() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, ObjectivesByModel.parse(f"{SloSettings().objectives}, latency 1s p99"))
    metrics.add_model("m")
    metrics.encoders.add_model("m", "embed", lambda: 0, lambda: 0)
    told = {
        sample.labels["slo"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "attendant_slo_target_ratio"
    }
    assert told == {objective.name for objective in OBJECTIVES} - {"errors"}


def test_every_alert_has_figures_that_make_it_fire() -> None:
    tried = [(case.alert, case.severity) for case in CASES]
    assert len(tried) == len(set(tried))
    assert set(tried) == {(alert.name, alert.severity) for alert in EVERY}


def test_every_alert_has_its_runbook() -> None:
    text = (HERE.parent / "docs" / "alerts.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (Attendant\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    assert set(sections) == {alert.name for alert in EVERY}
    assert all(len(section.split()) > 30 for section in sections.values())
    for alert in EVERY:
        assert alert.annotations()["runbook"] == f"docs/alerts.md#{alert.name.lower()}"


def test_prometheus_reads_the_rules_and_the_servers_port() -> None:
    config = yaml.safe_load((HERE / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    assert [HERE / "prometheus" / name for name in config["rule_files"]] == [RULES]
    (job,) = (job for job in config["scrape_configs"] if "attendant" in job["job_name"])
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{HttpSettings().port}"]


# -- what promtool says


@pytest.mark.network
def test_promtool_takes_the_rules() -> None:
    done = subprocess.run([find("promtool"), "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


@pytest.mark.network
def test_promtool_takes_the_configuration() -> None:
    config = HERE / "prometheus" / "prometheus.yaml"
    done = subprocess.run([find("promtool"), "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.network
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_fires_and_clears(case: Case, tmp_path: Path) -> None:
    slower = [_expected(case, severity) for severity in case.slower]
    tests = [
        {"eval_time": case.fires, "alertname": case.alert, "exp_alerts": [_expected(case, case.severity), *slower]},
        {"eval_time": case.clears, "alertname": case.alert, "exp_alerts": slower},
    ]
    _promtool(case.series, tests, tmp_path, case.every, case.evaluated)


def _expected(case: Case, severity: str) -> dict[str, Any]:
    """An alert as promtool expects it, with its texts filled in."""
    (alert,) = (alert for alert in EVERY if (alert.name, alert.severity) == (case.alert, severity))
    texts = alert.annotations().items()
    filled = {key: LABEL.sub(lambda match: case.labels[match[1]], text) for key, text in texts}
    return {"exp_labels": {**case.labels, "severity": severity}, "exp_annotations": filled}


@pytest.mark.network
@pytest.mark.parametrize("quiet", QUIET, ids=lambda quiet: quiet.name)
def test_nothing_fires(quiet: Quiet, tmp_path: Path) -> None:
    names = {alert.name for alert in EVERY}
    if not any("build_info" in name for name in quiet.series):
        names.remove("AttendantGone")
    _promtool(quiet.series, [{"eval_time": quiet.at, "alertname": name} for name in sorted(names)], tmp_path)


def _promtool(series: Any, tests: list[dict[str, Any]], folder: Path, every: str = "1m", evaluated: str = "1m") -> None:
    file = folder / "tests.yaml"
    test = {
        "interval": every,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": tests,
    }
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": evaluated,
        "group_eval_order": [group["name"] for group in groups()],  # or it differs from run to run
        "tests": [test],
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    done = subprocess.run([find("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
