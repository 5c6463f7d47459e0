"""smg, the gateway: it speaks OpenAI's and Anthropic's HTTP in front, and VllmEngine behind."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from attendant_loadtest.bench.processes import wait_or_kill

from tests.strangers.environments import GATEWAY, environment
from tests.strangers.stranger import Stranger, stranger
from tests.system.server import environment as variables
from tests.system.server import eventually

WATCHFUL = (
    *("--health-check-interval-secs", 1, "--health-check-timeout-secs", 1),
    *("--health-failure-threshold", 1, "--health-success-threshold", 1, "--cb-timeout-duration-secs", 2),
)
"""smg asks after the health of its engines once a minute, and leaves one alone for as long, if it is not told."""


class Gateway:
    """A gateway that is ready, and clients of it. Make one with :func:`gateway`.

    Attributes:
        address: host:port.
    """

    def __init__(self, clients: Stranger, address: str) -> None:
        self._clients = clients
        self.address = address

    def ask(self, action: str, **arguments: Any) -> Any:
        """What its clients do, see ``speak/by_gateway.py``."""
        return self._clients.ask(action, **arguments)

    def openai(self, method: str, **arguments: Any) -> Any:
        """A method of OpenAI's client."""
        return self.ask("call", client="openai", method=method, **arguments)

    def anthropic(self, method: str, **arguments: Any) -> Any:
        """A method of Anthropic's client."""
        return self.ask("call", client="anthropic", method=method, **arguments)

    def num_healthy(self) -> int:
        """Engines that it would send calls to; 0 while it has no tokenizer."""
        try:
            with urlopen(f"http://{self.address}/readiness", timeout=60) as response:
                return int(json.load(response)["healthy_workers"])
        except (URLError, ConnectionError, KeyError):
            return 0


@contextmanager
def gateway(engines: Sequence[str], log: Path, *flags: object) -> Iterator[Gateway]:
    """Start smg before engines, each host:port, and its clients."""
    ports = [str(port) for port in free_ports(2)]
    words = [str(environment(GATEWAY) / "bin" / "smg"), "launch", "--host", "127.0.0.1", "--port", ports[0]]
    words += ["--prometheus-host", "127.0.0.1", "--prometheus-port", ports[1], *map(str, flags)]
    words += ["--worker-urls", *(f"grpc://{engine}" for engine in engines)]
    alone = {name: value for name, value in variables().items() if name != "PYTHONPATH"}
    address = f"127.0.0.1:{ports[0]}"
    with (
        log.open("w") as out,
        subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=alone) as process,
    ):
        try:
            with stranger(GATEWAY, "by_gateway.py", address) as found:
                made = Gateway(found, address)
                eventually(lambda: process.poll() is not None or made.num_healthy() == len(engines))
                assert process.poll() is None, log.read_text(encoding="utf-8")
                yield made
        finally:
            process.terminate()
            wait_or_kill(process)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody has now."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (first, second)][:count]
