"""When rows would be done that come now, behind those that are there."""

from __future__ import annotations

import math

from attendant.batching.policy import BatchLimits
from attendant.batching.run_times import SHARE, RunTimes
from attendant.core.encoding import BatchStats

MEMORY_NS = 2e9
"""So long what batches took counts, about, nanoseconds."""


class BatchForecast:
    """What batches lately took, and how much went into those that left rows behind: a queue is worked off in such.

    Times are monotonic nanoseconds. Sizes as :class:`attendant.core.encoding.Row` counts them.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._times = RunTimes()
        self._full = float(limits.max_size)
        self._size = self._took_ns = 0.0  # of those that left rows behind; earlier ones weigh less
        self._ended_ns = 0  # the last batch

    @property
    def ended_ns(self) -> int:
        """When the last batch ended; 0 before the first."""
        return self._ended_ns

    def begins(self, now_ns: int) -> None:
        """A row comes and there is no other: a batch begins."""
        self._ended_ns = max(self._ended_ns, now_ns)

    def ran(self, stats: BatchStats, now_ns: int) -> None:
        """A batch has ended."""
        took_ns = stats.turn_ns or stats.run_ns
        self._times.take(stats.size, took_ns)
        if stats.num_waiting:
            self._full += SHARE * (stats.size - self._full)
            memory = math.exp(-took_ns / MEMORY_NS)
            self._size, self._took_ns = memory * self._size + stats.size, memory * self._took_ns + took_ns
        self._ended_ns = now_ns

    def due_in_ns(self, num_rows: int, size: int, now_ns: int) -> float | None:
        """How long it takes until so many rows of this size together are done, in the order they came; those of the
        batch that goes on are among them. None while nothing is known."""
        if not num_rows:
            return 0.0
        full = max(1.0, min(self._full, size / num_rows * self._limits.max_rows))
        num_full, rest = divmod(size, full)
        one, last = self._times.of(round(full)), self._times.of(round(rest))
        if one is None or last is None:
            return None
        if self._size and (lately := self._times.of(round(self._full))):
            # what many batches took says more than what the latest did
            one *= self._full * self._took_ns / self._size / lately
        took_ns = num_full * one + (last if rest >= 1 else 0.0)
        begun_ns = min(now_ns - self._ended_ns, one) if num_full else 0.0
        return max(took_ns - begun_ns, 0.0) + (0 if num_full else self._limits.max_delay_ns)
