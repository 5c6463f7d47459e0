"""Which declared port an input or output of a graph is. Needs no torch, so that passes over graphs need none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from attendant.bundle.graph_io import LOGITS, SLOT_CACHE, SLOTS, CachePorts, Port, ports_of


class Ported(Protocol):
    """What a decoder graph takes besides its caches, and its caches."""

    @property
    def inputs(self) -> tuple[Port, ...]: ...
    @property
    def caches(self) -> tuple[CachePorts, ...]: ...


@dataclass(frozen=True)
class SlotPorts:
    """The ports of a decoder over slots."""

    inputs: tuple[Port, ...] = ports_of(SLOTS)
    caches: tuple[CachePorts, ...] = (SLOT_CACHE,)


def port_of(layout: Ported, name: str) -> Port | None:
    """The port of an input or output of a traced graph, or None for what is neither."""
    plain = {port.name: port for port in (*layout.inputs, LOGITS)}
    if name in plain:
        return plain[name]
    start, _, index = name.rpartition("_")
    pairs = (pair for cache in layout.caches for pair in (cache.past, cache.present))
    several = {port.name: port for pair in pairs for port in (pair.key, pair.value)}
    found = several.get(f"{start}_{{i}}")
    return None if found is None else found.at(int(index))
