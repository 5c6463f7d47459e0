"""The server over gRPC: a real ``attendant serve`` process of one encoder and a client in another process."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.measurement import processor_s
from attendant_loadtest.bench.processes import Processes, server_and_client


class ServedEncoder:
    """A server of one bundle and its client. Make one with :func:`served_encoder`."""

    def __init__(self, processes: Processes, task: str) -> None:
        self._processes = processes
        self._task = task

    @property
    def pids(self) -> tuple[int, int]:
        """Process ids of server and client."""
        return self._processes.pids

    def measure(self, texts: Sequence[str], clients: int) -> Encoded:
        """One call for each text, ``clients`` at a time."""
        before = processor_s(self._processes.server.pid)
        found = self._processes.ask({"task": self._task, "texts": list(texts), "concurrency": clients})
        latencies, count = found["latencies_ms"], len(texts)
        figures = {
            "around_compute_ms": _difference(latencies, found["compute_ms"]),
            "around_server_ms": _difference(latencies, found["inside_ms"]),
            "client_us": found["client_processor_s"] * 1e6 / count,
            "server_us": (processor_s(self._processes.server.pid) - before) * 1e6 / count,
        }
        return Encoded(count, found["tokens"], found["wall_s"], latencies, figures=figures)


def _difference(these: Sequence[float], those: Sequence[float]) -> float:
    return statistics.median(a - b for a, b in zip(these, those, strict=True))


@contextmanager
def served_encoder(bundle: Path, task: str, arguments: Sequence[str] = ()) -> Iterator[ServedEncoder]:
    """See :func:`server_and_client`."""
    with server_and_client(bundle, "attendant_loadtest.bench.encoders_client", arguments) as processes:
        yield ServedEncoder(processes, task)
