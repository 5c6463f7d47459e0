"""The server over gRPC: a real ``attendant serve`` process and a client in another process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from attendant_loadtest.bench.measurement import Measurement, processor_s
from attendant_loadtest.bench.workload import Workload

STOP_TIMEOUT_S = 30.0


class ServerFailed(Exception):
    """The server did not start; the message is its log."""


class ServedModel:
    """A server of one bundle and its client. Make one with :func:`served`."""

    def __init__(self, server: subprocess.Popen[str], client: subprocess.Popen[str]) -> None:
        self._server = server
        self._client = client

    @property
    def pids(self) -> tuple[int, int]:
        """Process ids of server and client."""
        return self._server.pid, self._client.pid

    def measure(self, workload: Workload) -> Measurement:
        """Run the workload, a new request for each that ends."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        before = processor_s(self._server.pid)
        self._client.stdin.write(json.dumps(asdict(workload)) + "\n")
        self._client.stdin.flush()
        line = self._client.stdout.readline()
        if not line:
            raise ServerFailed("the benchmark's client ended early; its error is above")
        found = json.loads(line)
        generated, wall_s = found["generated"], found["wall_s"]
        figures = {name: value for name, value in found.items() if name.endswith("_ms")}
        figures |= {
            "prompt_tokens_per_s": found["prompt"] / wall_s,
            "tokens_per_message": generated / found["messages"],
            "client_us_per_token": found["client_processor_s"] * 1e6 / generated,
            "server_us_per_token": (processor_s(self._server.pid) - before) * 1e6 / generated,
        }
        return Measurement(generated=generated, prompt=found["prompt"], wall_s=wall_s, figures=figures)


@contextmanager
def served(bundle: Path, arguments: Sequence[str] = ()) -> Iterator[ServedModel]:
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
            address = _address(server, log)
            with _client(address) as client:
                yield ServedModel(server, client)
        finally:
            server.terminate()
            try:
                server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def _client(address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "attendant_loadtest.bench.client", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield client
        finally:
            assert client.stdin is not None
            client.stdin.close()
            client.wait(STOP_TIMEOUT_S)


def _address(server: subprocess.Popen[str], log: IO[str]) -> str:
    assert server.stdout is not None
    address = None
    for line in server.stdout:
        if match := re.search(r"gRPC on (\S+)", line):
            address = match[1]
        if "metrics on" in line and address:
            return address
    log.seek(0)
    raise ServerFailed(f"the server did not start:\n{log.read()}")
