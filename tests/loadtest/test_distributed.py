"""Locust in several processes against a real server: what each counts, all together is what the server did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.replicas.servers import free_port
from tests.synthetic import make_slow_bundle
from tests.system.server import ServerProcess, environment, serving

COUNTING = """
import json, os, pathlib
from collections import Counter
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from attendant_loadtest.users import GenerateUser

told = Counter()

@events.init.add_listener
def begin(environment, **_):
    def count(data, **_):  # after Locust's own listener, which puts the statistics in
        for entry in data["stats"]:
            told[entry["name"]] += entry["num_requests"]

    def write(**_):
        if isinstance(environment.runner, MasterRunner):
            told.update({entry.name: entry.num_requests for entry in environment.stats.entries.values()})
        kind = type(environment.runner).__name__
        pathlib.Path(__file__).with_name(f"{kind}-{os.getpid()}.json").write_text(json.dumps(told))

    events.report_to_master.add_listener(count)
    events.quit.add_listener(write)
"""
"""A locustfile that writes down what each worker told its master, and what the master has in the end."""
CHATS = ("--workload", "chat", "--prompt-tokens", 4, "--max-tokens", 6, "--ignore-eos")
FOUR = ("-u", 4, "-r", 4, "-t", "3s", "--stop-timeout", "60s", "--only-summary")  # who runs at the end, ends


def words(locustfile: Path, server: ServerProcess, *arguments: object) -> list[str]:
    """A command of Locust with users of short chats."""
    found = [sys.executable, "-m", "locust", "-f", locustfile, "--headless", "--host", server.grpc, *arguments]
    return list(map(str, found))


def succeeded(server: ServerProcess) -> float:
    """Sequences that the server finished."""
    return sum(value for name, value in server.metrics().items() if name.startswith("request_success_total{"))


def run(command: Sequence[str]) -> None:
    """To its end."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(), check=False)
    assert done.returncode == 0, done.stderr


def check(folder: Path, did: float) -> None:
    """A master's figures are those of two workers, and the server's."""
    (master,) = (Counter(json.loads(file.read_text())) for file in folder.glob("MasterRunner-*.json"))
    workers = [Counter(json.loads(file.read_text())) for file in folder.glob("WorkerRunner-*.json")]
    assert len(workers) == 2
    assert all(worker["chat"] > 0 for worker in workers)
    assert master == workers[0] + workers[1]
    assert master["chat"] == master["chat/first token"] == did


@pytest.fixture
def locustfile(tmp_path: Path) -> Path:
    """The one that counts, in a folder of its own."""
    file = tmp_path / "locustfile.py"
    file.write_text(COUNTING)
    return file


def test_a_master_and_two_workers(server: ServerProcess, locustfile: Path) -> None:
    before, port = succeeded(server), free_port()
    master = words(locustfile, server, "--master", "--expect-workers", 2, *CHATS, *FOUR)
    worker = words(locustfile, server, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
    workers = [subprocess.Popen(worker, stderr=subprocess.PIPE, text=True, env=environment()) for _ in range(2)]
    try:
        run([*master, "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)])
        for each in workers:
            _, told = each.communicate(timeout=300)
            assert each.returncode == 0, told
    finally:
        for each in workers:
            each.kill()
    check(locustfile.parent, succeeded(server) - before)


def test_processes_of_one_command_and_answers_that_run_when_the_time_is_over(locustfile: Path, tmp_path: Path) -> None:
    """The slow answers are counted, too: here each takes about as long as the run."""
    port, report = free_port(), tmp_path / "report.html"
    ports = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)
    long = (*CHATS, "--max-tokens", 400, *FOUR, "-t", "1s", "--html", report)
    with serving(tmp_path / "log", make_slow_bundle(tmp_path / "slow")) as server:
        run(words(locustfile, server, "--processes", 2, *ports, *long))
        check(locustfile.parent, succeeded(server))
    assert "chat/first token" in report.read_text(encoding="utf-8")
