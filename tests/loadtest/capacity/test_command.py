"""``attendant capacity`` on a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attendant.cli import main
from attendant_loadtest.capacity.command import Found
from attendant_loadtest.capacity.search import Search
from attendant_loadtest.openloop.figures import figures
from attendant_loadtest.openloop.loop import run
from attendant_loadtest.openloop.measuring import Measured
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.server_watch import Reading, ServerLoad
from attendant_loadtest.schedule.arrivals import Poisson
from attendant_loadtest.schedule.mix import alike, plan

from tests.loadtest.openloop.virtual import OneAtATime, virtually
from tests.system.server import ServerProcess

OBJECTIVE = Objective(ttft_s=0.3)


def test_a_search_on_a_server(server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a machine that others use can do is not known; that every run is there, and what follows from them, is."""
    words = ["--server", server.grpc, "--metrics", f"{server.http}/metrics", "--prompt", "4", "--answer", "3"]
    search = ["--start", "8", "--run-seconds", "0.5", "--most-seconds", "8", "--load", "1000", "--resolution", "0.5"]
    main(["capacity", *words, *search, "--ttft", "60s", "--json", "--html", str(tmp_path / "page.html")])
    said = json.loads(capsys.readouterr().out)
    found = said["capacity"]
    assert found["runs"] == len(said["runs"]) > 0
    assert all(each["met"] for each in said["runs"]), "a minute is enough for all"
    assert found["per_s"] > 0
    assert found["missed_per_s"] is None
    assert found["unfinished"]
    assert found["replicas"] == -(-1000 // found["per_s"])
    assert "Capacity: " in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "there is no objective; allowed: --ttft, --itl, or both"),
        (["--ttft", "1s", "--load", "-1"], "--load is -1"),
        (["--ttft", "1s", "--resolution", "0"], "--resolution is 0"),
        (["--ttft", "1s", "--prompt", "9999"], "are longer than tiny takes"),
    ],
)
def test_what_cannot_be_is_told(
    words: list[str], says: str, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--server", server.grpc, *words]) == 2
    assert says in capsys.readouterr().err


def measured(per_s: float) -> Measured:
    made = virtually(run(plan(Poisson(per_s), alike(8, 1), 60, 1), OneAtATime(0.1)))
    readings = [
        Reading(at_s, {"step_s": 0.97 * at_s, "steps": 1.0, "kv": 0.4, "waiting": 7.0, "running": 4.0})
        for at_s in (0.0, 60.0)
    ]
    return Measured("", figures(made, per_s, OBJECTIVE), ServerLoad.of(readings), made.samples)


def test_what_was_found_is_said_in_words() -> None:
    search = Search(1.05, 300, lambda _: 1.0, lambda: 0.0, met_per_s=1.0, missed_per_s=9.5)
    found = Found(search, OBJECTIVE, [measured(1.0), measured(9.5)], [1.0, 9.5], 100.0)
    said = found.dictionary(100.0, 4)["said"]
    assert said[0] == "Capacity: 1 requests/s (1 tokens/s) for TTFT p99 <= 300 ms."
    assert said[1].startswith("At 9.5 requests/s ")
    assert "steps of the model went on 97% of the time" in said[2]
    assert "4 of 4 were taken on average" in said[2]
    assert "7 requests waited on average" in said[2]
    assert "KV memory" not in said[2]
    assert said[3].startswith(f"A run had {found.runs[0].figures.requests} requests, of which none may be late")
    assert said[4] == "100 requests/s need 100 such servers; one of 101 may be lost."
    nothing = Found(Search(1.05, 300, lambda _: 1.0, lambda: 0.0, why="300 s were over"), OBJECTIVE)
    assert nothing.dictionary(None, None)["said"][:2] == [
        "Capacity: none was found for TTFT p99 <= 300 ms.",
        "The search ended early: 300 s were over.",
    ]
