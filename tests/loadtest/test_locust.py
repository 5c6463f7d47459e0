"""Locust as a person runs it, against a real server process."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.loadtest.headless import run_headless
from tests.system.server import REPOSITORY, ServerProcess

LOCUSTFILE = REPOSITORY / "loadtest" / "locustfile.py"


def run_locust(address: str, *arguments: object) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Two users for a few seconds. Returns Locust's statistics by name, and the process."""
    return run_headless(LOCUSTFILE, "-u", 2, "-r", 2, "-t", "2s", "--host", address, *arguments)


@pytest.mark.parametrize("workload", ["chat", "text", "token_ids"])
def test_statistics_have_entries_of_their_own_for_first_token_and_inter_token(
    server: ServerProcess, workload: str
) -> None:
    before = server.metrics()
    found, process = run_locust(
        server.grpc, "--workload", workload, "--prompt-tokens", 8, "--max-tokens", 12, "--ignore-eos"
    )
    assert process.returncode == 0, process.stderr
    whole, first, gaps = (found[name] for name in (workload, f"{workload}/first token", f"{workload}/inter-token"))
    assert whole["num_requests"] > 0
    assert whole["num_failures"] == 0
    # answers that were running when time ran out have a first token and nothing more
    assert 0 <= first["num_requests"] - whole["num_requests"] <= 2
    assert 0 < gaps["num_requests"] <= 11 * whole["num_requests"]  # the first message may hold several tokens
    assert 0 < first["total_response_time"] < whole["total_response_time"]
    served = server.metrics()
    num_served = sum(served[n] - before[n] for n in served if n.startswith("request_success_total"))
    assert whole["num_requests"] <= num_served <= whole["num_requests"] + 2


def test_users_break_answers_off(server: ServerProcess) -> None:
    found, process = run_locust(server.grpc, "--workload", "text", "--prompt-tokens", 8, "--cancel-share", 1)
    assert process.returncode == 0, process.stderr
    assert found["text/cancelled"]["num_requests"] > 0
    assert found["text/cancelled"]["num_failures"] == 0
    assert "text" not in found


def test_errors_are_counted_by_code(server: ServerProcess) -> None:
    found, process = run_locust(server.grpc, "--workload", "token_ids", "--prompt-tokens", 1000)
    assert process.returncode == 1
    assert found["token_ids"]["num_failures"] == found["token_ids"]["num_requests"] > 0
    errors = [line for line in process.stderr.splitlines() if "CallFailed" in line]
    assert len(errors) == 1
    assert "INVALID_ARGUMENT" in errors[0]


def test_settings_come_from_the_environment_too(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUST_WORKLOAD", "text")
    monkeypatch.setenv("LOCUST_MODEL", "nobody")
    found, process = run_locust(server.grpc)
    assert process.returncode == 1
    assert found["GetModel"]["num_failures"] == 2
    assert "NOT_FOUND" in process.stderr
    assert "Traceback" not in process.stderr
