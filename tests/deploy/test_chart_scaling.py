"""What Prometheus answers to the queries that replicas follow: under load, without traffic, without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import example, render
from tests.deploy.prometheus import find
from tests.deploy.test_chart_around import queries

pytestmark = pytest.mark.network
JOB = "attendant.prod.chat-attendant"
VALUES = {**example("keda"), "autoscaling": example("hpa")["autoscaling"] | {"kind": "keda"}}
QUERIES = {name: query for name, (_, _, query) in queries(render(VALUES)).items()}
HISTOGRAMS = {
    "queueSeconds": "attendant_request_queue_time_seconds",
    "ttftSeconds": "attendant_time_to_first_token_seconds",
    "encoderQueueSeconds": "attendant_encoder_queue_seconds",
}


def series(grows: bool, pods: int = 2) -> dict[str, str]:
    """Of each pod: 100 waits a minute, 80 of them below 0.2 s and all below 1 s; 8 requests that run, 5 that wait."""
    found = {}
    for pod in range(pods):
        labels = f'job="{JOB}", pod="{pod}"'
        for name in HISTOGRAMS.values():
            for le, each in (("0.2", 80), ("1.0", 100), ("+Inf", 100)):
                found[f'{name}_bucket{{{labels}, le="{le}"}}'] = f"0+{each if grows else 0}x10"
        found[f"attendant_build_info{{{labels}}}"] = "1x10"
        found[f"attendant_num_requests_running{{{labels}}}"] = f"{8 if grows else 0}x10"
        found[f"attendant_num_requests_waiting{{{labels}}}"] = f"{5 if grows else 0}x10"
    return found


def answers(given: dict[str, str], folder: Path, expected: dict[str, float | None]) -> None:
    """promtool says whether the queries give these values; None: nothing."""
    others = {name.replace(JOB, "attendant.prod.other"): values for name, values in series(grows=True).items()}
    told: list[dict[str, Any]] = [
        {
            "expr": f"round(({QUERIES[name]}) * 1000)",
            "eval_time": "8m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": round(value * 1000)}],
        }
        for name, value in expected.items()
    ]
    both = {**given, **others}
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in both.items()],
        "promql_expr_test": told,
    }
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}), encoding="utf-8")
    done = subprocess.run([find("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_under_load_they_tell_what_callers_feel_and_of_this_release_alone(tmp_path: Path) -> None:
    waits = dict.fromkeys(HISTOGRAMS, 0.6)  # the ninetieth of a hundred: half way between 0.2 and 1
    answers(series(grows=True), tmp_path, {**waits, "requestsPerReplica": 2 * (8 + 5)})


def test_without_traffic_they_are_nought(tmp_path: Path) -> None:
    answers(series(grows=False), tmp_path, dict.fromkeys(QUERIES, 0))


def test_without_a_server_they_are_nothing_so_that_replicas_stay(tmp_path: Path) -> None:
    answers({}, tmp_path, dict.fromkeys(QUERIES))
