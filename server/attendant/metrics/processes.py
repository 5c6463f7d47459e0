"""What engines with processes of their own take of the memory, found out when somebody asks."""

from __future__ import annotations

from functools import partial
from typing import Protocol
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Gauge

from attendant.metrics.labels import ModelNames


class Process(Protocol):
    """A process that runs a model."""

    @property
    def resident_bytes(self) -> int:
        """What it has in memory; 0 once it has ended. Any thread may ask."""


class ProcessMetrics:
    """Memory of processes by model. One that nobody has any more is not asked."""

    def __init__(self, registry: CollectorRegistry, names: ModelNames) -> None:
        self._names = names
        self._processes: dict[str, WeakSet[Process]] = {}
        self._memory = Gauge(
            "attendant_engine_process_memory_bytes",
            "Resident memory of the processes that the engines of a model have of their own (engine.process).",
            ("model_name",),
            registry=registry,
        )

    def add(self, model: str, process: Process) -> None:
        """A model has begun to be served by a process."""
        name = self._names.add(model)
        found = self._processes.setdefault(name, WeakSet())
        found.add(process)
        self._memory.labels(name).set_function(partial(_sum, found))


def _sum(processes: WeakSet[Process]) -> float:
    return float(sum([process.resident_bytes for process in list(processes)]))
