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


class Ended(Exception):
    """A process that should answer has ended; its error is on the terminal."""


class Answering:
    """A process that answers each line of JSON with one. Make one with :func:`answering`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def ask(self, workload: Mapping[str, Any]) -> dict[str, Any]:
        """Hand a workload over and wait for what was found.

        Raises:
            Ended: there is no answer any more.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(workload) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Ended
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def answering(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Answering]:
    """Start a process that answers, and end it afterwards by the end of its input."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield Answering(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            wait_or_kill(process)


def wait_or_kill(process: subprocess.Popen[Any]) -> None:
    """Wait for the end of a process that was asked to end, but not for ever."""
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


@dataclass(frozen=True)
class Processes:
    """A server and its client. Make them with :func:`server_and_client`."""

    server: subprocess.Popen[str]
    client: Answering

    @property
    def pids(self) -> tuple[int, int]:
        """Process ids of server and client."""
        return self.server.pid, self.client.pid

    def ask(self, workload: Mapping[str, Any]) -> dict[str, Any]:
        """Hand the client a workload and wait for what it found.

        Raises:
            ServerFailed: the client has ended.
        """
        try:
            return self.client.ask(workload)
        except Ended:
            raise ServerFailed("the benchmark's client ended early; its error is above") from None


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
            with answering([sys.executable, "-m", client_module, _address(server, log)]) as client:
                yield Processes(server, client)
        finally:
            server.terminate()
            wait_or_kill(server)


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
