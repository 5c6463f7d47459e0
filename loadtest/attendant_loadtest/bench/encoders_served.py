"""The server over gRPC: a real ``attendant serve`` process of one encoder and a client in another process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.measurement import processor_s
from attendant_loadtest.bench.served import STOP_TIMEOUT_S, ServerFailed, _address


class ServedEncoder:
    """A server of one bundle and its client. Make one with :func:`served_encoder`."""

    def __init__(self, server: subprocess.Popen[str], client: subprocess.Popen[str], task: str) -> None:
        self._server = server
        self._client = client
        self._task = task

    @property
    def pids(self) -> tuple[int, int]:
        """Process ids of server and client."""
        return self._server.pid, self._client.pid

    def measure(self, texts: Sequence[str], clients: int) -> Encoded:
        """One call for each text, ``clients`` at a time."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        before = processor_s(self._server.pid)
        workload = {"task": self._task, "texts": list(texts), "concurrency": clients}
        self._client.stdin.write(json.dumps(workload) + "\n")
        self._client.stdin.flush()
        line = self._client.stdout.readline()
        if not line:
            raise ServerFailed("the benchmark's client ended early; its error is above")
        found = json.loads(line)
        latencies, count = found["latencies_ms"], len(texts)
        figures = {
            "around_compute_ms": _difference(latencies, found["compute_ms"]),
            "around_server_ms": _difference(latencies, found["inside_ms"]),
            "client_us": found["client_processor_s"] * 1e6 / count,
            "server_us": (processor_s(self._server.pid) - before) * 1e6 / count,
        }
        return Encoded(count, found["tokens"], found["wall_s"], latencies, figures=figures)


def _difference(these: Sequence[float], those: Sequence[float]) -> float:
    return statistics.median(a - b for a, b in zip(these, those, strict=True))


@contextmanager
def served_encoder(bundle: Path, task: str, arguments: Sequence[str] = ()) -> Iterator[ServedEncoder]:
    """Start a server of ``bundle`` on free ports of the loopback and a client, and end them afterwards.

    Raises:
        ServerFailed: with the server's log.
    """
    command = [sys.executable, "-m", "attendant", "serve", str(bundle), "--grpc.port", "0", "--http.port", "0"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATTENDANT_")}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as server,
    ):
        try:
            with _client(_address(server, log)) as client:
                yield ServedEncoder(server, client, task)
        finally:
            server.terminate()
            try:
                server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def _client(address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "attendant_loadtest.bench.encoders_client", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield client
        finally:
            assert client.stdin is not None
            client.stdin.close()
            client.wait(STOP_TIMEOUT_S)
