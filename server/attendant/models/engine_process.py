"""The engines of a model in a process of its own: how that loads them, and what stays known of them here."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import GeneratorManifest
from attendant.core.fair_order import OrderRules
from attendant.engine.client import EngineClient, ThreadEngineClient
from attendant.engine.facts import EngineFacts
from attendant.engine.process_client import ProcessEngineClient
from attendant.models.attention import attention_of
from attendant.models.ledger import Account, Holding
from attendant.models.load_engines import load_engines
from attendant.models.memory import available_processors
from attendant.processes.child import Child
from attendant.processes.messages import Made, Tell
from attendant.runtime.prepared import PreparedWeights
from attendant.runtime.resident import Resident
from attendant.runtime.session import Shared
from attendant.settings import EngineSettings, GpuSettings


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What a process is told to load. ``account``: the ledger as it is; ``prepared``: weights that models share."""

    path: Path
    manifest: GeneratorManifest
    settings: EngineSettings
    gpu: GpuSettings
    account: Account
    order: OrderRules
    prepared: PreparedWeights | None = None


@dataclass(frozen=True, slots=True)
class EnginesThere:
    """What a process has loaded. ``holdings``: what it took, by memory; the rest is as in
    :class:`~attendant.models.engines.LoadedEngines`."""

    facts: tuple[EngineFacts, ...]
    context_length: int
    max_num_seqs: int
    capacity_tokens: int
    holdings: Mapping[str, Holding]

    @property
    def num_engines(self) -> int:
        """How many there are."""
        return len(self.facts)


class EngineProcess:
    """A process that has loaded a model's engines. It ends when the last of its clients stops, when it is killed, and
    when nobody has this any more.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause. EngineDead: the process ended.
    """

    def __init__(self, order: EngineOrder, tell: Tell) -> None:
        self._child = Child(order.manifest.name)
        self._end = weakref.finalize(self, self._child.kill)
        there = self._child.make(tell, load_there, order)
        assert isinstance(there, EnginesThere)
        self.loaded = there
        order.account.take_over(there.holdings)
        tell(f"its engine is process {self.pid}")

    @property
    def pid(self) -> int:
        """Its number, as the system has it."""
        return self._child.pid

    def resident(self) -> Resident:
        """What it has in memory; nothing once it has ended."""
        return Resident.now(self.pid) if self._child.alive else Resident()

    @property
    def resident_bytes(self) -> int:
        """The same, all of it in bytes."""
        found = self.resident()
        return found.own + found.mapped

    def clients(self) -> tuple[EngineClient, ...]:
        """A client for each engine. They are not started."""
        return tuple(_Client(self, self._child, index, facts) for index, facts in enumerate(self.loaded.facts))

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._child.kill()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; whether it has."""
        return self._child.wait(timeout_s)


class _Client(ProcessEngineClient):
    """Keeps its process."""

    def __init__(self, process: EngineProcess, child: Child, index: int, facts: EngineFacts) -> None:
        super().__init__(child, index, facts)
        self._process = process


def load_there(tell: Tell, order: EngineOrder) -> Made:
    """In the process: load what is ordered, on threads of its own."""
    name, settings, shared = order.manifest.name, order.settings, Shared(prepared=order.prepared)
    loaded = load_engines(order.path, order.manifest, settings, order.gpu, order.account, tell, shared, order.order)
    threads = settings.threads or available_processors()
    attention = attention_of(order.path, order.manifest, threads, spinning=settings.spinning, shared=shared)
    services = tuple(
        ThreadEngineClient(f"{name}-{i}", engine, None if i else attention) for i, engine in enumerate(loaded.engines)
    )
    facts = EnginesThere(
        tuple(service.facts for service in services),
        loaded.context_length,
        loaded.max_num_seqs,
        loaded.capacity_tokens,
        order.account.holdings(),
    )
    return Made(services, facts)
