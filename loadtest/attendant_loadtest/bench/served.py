"""The server over gRPC: a real ``attendant serve`` process and a client in another process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from attendant_loadtest.bench.measurement import Measurement, processor_s
from attendant_loadtest.bench.processes import Processes, server_and_client
from attendant_loadtest.bench.workload import Workload


class ServedModel:
    """A server of one bundle and its client. Make one with :func:`served`."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    @property
    def pids(self) -> tuple[int, int]:
        """Process ids of server and client."""
        return self._processes.pids

    def measure(self, workload: Workload) -> Measurement:
        """Run the workload, a new request for each that ends."""
        before = processor_s(self._processes.server.pid)
        found = self._processes.ask(asdict(workload))
        generated, wall_s = found["generated"], found["wall_s"]
        figures = {name: value for name, value in found.items() if name.endswith("_ms")}
        figures |= {
            "prompt_tokens_per_s": found["prompt"] / wall_s,
            "tokens_per_message": generated / found["messages"],
            "client_us_per_token": found["client_processor_s"] * 1e6 / generated,
            "server_us_per_token": (processor_s(self._processes.server.pid) - before) * 1e6 / generated,
        }
        return Measurement(generated=generated, prompt=found["prompt"], wall_s=wall_s, figures=figures)


@contextmanager
def served(bundle: Path, arguments: Sequence[str] = ()) -> Iterator[ServedModel]:
    """See :func:`server_and_client`."""
    with server_and_client(bundle, "attendant_loadtest.bench.client", arguments) as processes:
        yield ServedModel(processes)
