"""Whether a call's rows would be done in its time: what is ahead of them, and what such rows lately took."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attendant.batching.forecast import BatchForecast
from attendant.core.context import CallContext
from attendant.core.encoding import BatchStats, Row
from attendant.core.errors import QueueFull, WouldBeLate
from attendant.frontend.admission import MAX_RETRY_S, MIN_RETRY_S
from attendant.models.encoders import EncoderPart

MARGIN = 1.1
"""So many times as long as predicted may it take: batches differ, and not all rows go in the order they came."""

BY_FAR = 0.5
"""A call before which there is nothing is refused only if this share of what is predicted is too long: it costs nobody
anything, and what it takes corrects what is known."""

FRESH_NS = 10_000_000_000
"""So long after the last batch, nanoseconds, is what is known worth refusing a call before which there is nothing."""


class Backlog:
    """The rows of one model that have not ended, by priority, and when those that come would be done. It belongs to the
    event loop."""

    def __init__(self, model: EncoderPart) -> None:
        self._name = model.name
        self._limits = model.limits
        self._max_size = model.max_queue_size
        self._forecast = BatchForecast(model.limits)
        self._rows: dict[int, _Sum] = {}  # by priority

    def add(self, rows: Sequence[Row]) -> None:
        """Rows have come."""
        if not self._rows:
            self._forecast.begins(time.monotonic_ns())
        for row in rows:
            if (level := self._rows.get(row.priority)) is None:
                level = self._rows[row.priority] = _Sum()
            level.count += 1
            level.size += row.size

    def remove(self, row: Row) -> None:
        """A row has ended."""
        level = self._rows[row.priority]
        level.count -= 1
        level.size -= row.size
        if not level.count:
            del self._rows[row.priority]

    def ran(self, stats: BatchStats) -> None:
        """A batch has ended."""
        self._forecast.ran(stats, time.monotonic_ns())

    def check_begin(self, context: CallContext) -> None:
        """Refuse a call before anything is done for it, if what is ahead of it takes too long already.

        Raises:
            WouldBeLate: its rows would not be done in its time, however few they are.
        """
        by_ns = context.result_by_ns
        if by_ns is not None and self._rows:
            self._check_time(0, 0, context.priority, context.arrival_ns, by_ns)

    def check(self, rows: Sequence[Row], num_rows: int) -> None:
        """Refuse a call whose first rows are known. ``num_rows``: those of the whole call.

        Raises:
            WouldBeLate: they would not be done in its time.
            QueueFull: too many tokens wait already.
        """
        first = rows[0]
        size = sum(row.size for row in rows) * num_rows // len(rows)
        if first.deadline_ns is not None:
            self._check_time(num_rows, size, first.priority, first.arrival_ns, first.deadline_ns)
        held = sum(level.size for level in self._rows.values())
        if self._max_size is not None and held and held + size > self._max_size:
            due_ns = self._forecast.due_in_ns(1, held + size - self._max_size, time.monotonic_ns())
            raise QueueFull(self._name, self._max_size, _retry_s(due_ns or 0), "tokens")

    def _check_time(self, num_rows: int, size: int, priority: int, arrival_ns: int, by_ns: int) -> None:
        now_ns = time.monotonic_ns()
        ahead = [level for its_priority, level in self._rows.items() if its_priority >= priority]
        due_ns = self._forecast.due_in_ns(
            num_rows + sum(level.count for level in ahead), size + sum(level.size for level in ahead), now_ns
        )
        if not self._limits.predict or due_ns is None:
            return
        if self._rows:
            due_ns *= MARGIN
        elif now_ns - self._forecast.ended_ns < FRESH_NS:
            due_ns *= BY_FAR
        else:
            return
        if now_ns + due_ns > by_ns:
            late_ns = now_ns + due_ns - by_ns
            took_s, limit_s = (now_ns + due_ns - arrival_ns) / 1e9, (by_ns - arrival_ns) / 1e9
            raise WouldBeLate(self._name, "the result", took_s, limit_s, _retry_s(late_ns))


class _Sum:
    """Rows of one priority: how many, and their sizes together."""

    def __init__(self) -> None:
        self.count = self.size = 0


def _retry_s(ns: float) -> float:
    return min(max(ns / 1e9, MIN_RETRY_S), MAX_RETRY_S)
