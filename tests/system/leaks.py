"""What a server process holds, before and after something went wrong: it has to be the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

from tests.system.server import HANGS_S, ServerProcess

LOADS = (
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "encoder_rows_waiting",
    "encoder_rows_running",
)
MORE_THREADS = 12
"""Pools of threads fill up when they are first used: asyncio's, of jobs, and gRPC's own."""
MORE_DESCRIPTORS = 4
"""What pools and gRPC's pollers open with them."""


@dataclass(frozen=True)
class Held:
    """What a server holds. ``load``: requests that run or wait, and the share of KV memory that they hold."""

    load: float
    descriptors: int
    threads: int
    megabytes: int

    @classmethod
    def by(cls, server: ServerProcess) -> Held:
        """What a server holds now."""
        found = server.metrics()
        process = psutil.Process(server.process.pid)
        return cls(
            load=sum(found.get(name, 0.0) for name in LOADS),
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            megabytes=process.memory_info().rss >> 20,
        )

    def beyond(self, before: Held, megabytes: int) -> dict[str, tuple[float, float]]:
        """What is more than before, and by how much more than it may be: before and now."""
        most = Held(
            before.load,
            before.descriptors + MORE_DESCRIPTORS,
            before.threads + MORE_THREADS,
            before.megabytes + megabytes,
        )
        now, limits = asdict(self), asdict(most)
        return {name: (asdict(before)[name], now[name]) for name in now if now[name] > limits[name]}


@contextmanager
def nothing_leaks(server: ServerProcess, megabytes: int = 128) -> Iterator[None]:
    """What a server holds afterwards it held before: slots, blocks, queue, descriptors, threads, and memory.

    Args:
        megabytes: that memory may have grown: buffers of allocators, which are not given back at once.
    """
    before = Held.by(server)
    yield
    until = time.monotonic() + HANGS_S
    while more := Held.by(server).beyond(before, megabytes):
        assert time.monotonic() < until, f"it holds more than before: {more}"
        time.sleep(0.1)
