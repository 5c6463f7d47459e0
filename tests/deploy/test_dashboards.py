"""Dashboards ask for what exists, show all that exists, and are what Grafana reads."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.files import HERE, files
from deploy.grafana import dashboards
from deploy.names import DCGM, NODE, SCRAPE, metrics_of
from deploy.prometheus.burn import burn_records
from tests.deploy.metric_names import families, samples
from tests.deploy.prometheus import find

BOARDS = dashboards()
UNITS = frozenset(
    {"s", "short", "percentunit", "percent", "reqps", "bytes", "Bps", "watt", "watth", "celsius", "hertz"}
)
"""Ids of Grafana's units that we use, each looked up once."""


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that show something."""
    for panel in board["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else [panel]


def queries(board: dict[str, Any]) -> list[str]:
    """All of PromQL in a dashboard, with its variables."""
    found = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    variables = [v["definition"] for v in board["templating"]["list"] if "definition" in v]
    return [*found, *(re.fullmatch(r"label_values\((.*), \w+\)", text)[1] for text in variables)]


@pytest.mark.parametrize("path", files())
def test_files_are_what_the_code_makes(path: str) -> None:
    assert (HERE / path).read_text(encoding="utf-8") == files()[path], "run: python -m deploy"


def test_no_other_files_pretend_to_be_dashboards() -> None:
    assert {path.stem for path in (HERE / "grafana" / "dashboards").iterdir()} == BOARDS.keys()


def test_names_in_queries_are_found() -> None:
    query = (
        'sum by (le, job) (rate(a_bucket{le="1.0", x=~"b|c"}[5m])) / on (job) d:e:f5m > 0.1 and g offset 5m or time()'
    )
    assert list(metrics_of(query)) == ["a_bucket", "d:e:f5m", "g"]
    assert list(metrics_of("histogram_quantile(0.99, sum by (le) (rate(h_bucket[$__rate_interval])))")) == ["h_bucket"]
    assert list(metrics_of('1 - x{job=~"$job"} / (y + 1e6)')) == ["x", "y"]


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_ask_for_metrics_that_exist(uid: str) -> None:
    known = samples() | DCGM | NODE | SCRAPE | {record.name for record in burn_records()}
    assert {name for query in queries(BOARDS[uid]) for name in metrics_of(query)} <= known


def test_every_metric_is_on_a_panel() -> None:
    shown = {name for board in BOARDS.values() for query in queries(board) for name in metrics_of(query)}
    assert [family for family, names in families().items() if not names & shown] == []
    assert shown >= DCGM | NODE, "the lists name what is asked for, and nothing else"


def test_labels_in_legends_are_those_of_the_series() -> None:
    for board in BOARDS.values():
        for panel in panels(board):
            for target in panel["targets"]:
                if by := re.findall(r"\b(?:sum|min|max|avg|count) by \(([^)]*)\)", target["expr"]):
                    labels = {label.strip() for label in by[0].split(",")}
                    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, panel["title"]


@pytest.mark.parametrize("uid", BOARDS)
def test_a_newcomer_can_read_it(uid: str) -> None:
    board = BOARDS[uid]
    assert board["title"].startswith("Attendant / ")
    for panel in panels(board):
        assert len(panel["description"].split()) >= 5, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert all(target["legendFormat"] for target in panel["targets"])
    titles = [panel["title"] for panel in panels(board)]
    assert uid == "attendant-objectives" or len(titles) == len(set(titles))


@pytest.mark.parametrize("uid", BOARDS)
def test_grafana_can_provision_it(uid: str) -> None:
    board = json.loads(json.dumps(BOARDS[uid]))
    assert board["uid"] == uid
    assert re.fullmatch(r"[a-z-]{1,40}", uid)
    assert board["schemaVersion"] >= 36
    assert "id" not in board, "Grafana gives it one"
    assert "__inputs" not in board, "files that are provisioned ask nothing"
    first, *others = board["templating"]["list"]
    assert (first["type"], first["query"]) == ("datasource", "prometheus")
    names = {variable["name"] for variable in (first, *others)}
    for panel in panels(board):
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    used = set(re.findall(r"\$(\w+)", " ".join(queries(board)))) - {"__rate_interval"}
    assert used <= names
    assert names - {"datasource"} <= used | {"node"}


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_lie_beside_each_other(uid: str) -> None:
    numbers = [panel["id"] for panel in BOARDS[uid]["panels"]] + [panel["id"] for panel in panels(BOARDS[uid])]
    rows = sum(panel["type"] == "row" for panel in BOARDS[uid]["panels"])
    assert len(set(numbers)) == rows + len(list(panels(BOARDS[uid])))
    taken: set[tuple[int, int]] = set()
    for panel in (*panels(BOARDS[uid]), *(p for p in BOARDS[uid]["panels"] if p["type"] == "row")):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_provisioning_names_its_parts() -> None:
    folder = HERE / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards.yaml").read_text(encoding="utf-8"))["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    (source,) = yaml.safe_load((folder / "datasources.yaml").read_text(encoding="utf-8"))["datasources"]
    assert source["type"] == "prometheus"


@pytest.mark.network
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    """As rules, with Grafana's variables filled in."""
    every = [query for board in BOARDS.values() for query in queries(board)]
    filled = [query.replace("$__rate_interval", "5m") for query in every]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([find("promtool"), "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
