"""A real ``attendant serve`` process and its client in another process, which takes workloads as lines of JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

STOP_TIMEOUT_S = 30.0


class ServerFailed(Exception):
    """The server did not start; the message is its log."""


@dataclass(frozen=True)
class Processes:
    """A server and its client. Make them with :func:`server_and_client`."""

    server: subprocess.Popen[str]
    client: subprocess.Popen[str]

    @property
    def pids(self) -> tuple[int, int]:
        """Process ids of server and client."""
        return self.server.pid, self.client.pid

    def ask(self, workload: Mapping[str, Any]) -> dict[str, Any]:
        """Hand the client a workload and wait for what it found.

        Raises:
            ServerFailed: the client has ended.
        """
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps(workload) + "\n")
        self.client.stdin.flush()
        line = self.client.stdout.readline()
        if not line:
            raise ServerFailed("the benchmark's client ended early; its error is above")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def server_and_client(bundle: Path, client_module: str, arguments: Sequence[str] = ()) -> Iterator[Processes]:
    """Start a server of ``bundle`` on free ports of the loopback and a client, and end them afterwards.

    Args:
        client_module: to be run with the server's address.
        arguments: of the server.

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
            with _client(client_module, _address(server, log)) as client:
                yield Processes(server, client)
        finally:
            server.terminate()
            try:
                server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def _client(module: str, address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, address]
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
