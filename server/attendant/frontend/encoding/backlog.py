"""Whether a call's rows would be done in its time: what is ahead of them, and what such rows lately took."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attendant.batching.forecast import BatchForecast
from attendant.core.context import CallContext
from attendant.core.encoding import BatchStats, Row
from attendant.core.errors import QueueFull
from attendant.frontend.admission import sane_retry_s
from attendant.frontend.encoding.reckoned import Density, Reckoned
from attendant.frontend.margin import Margin
from attendant.frontend.timely import Promise, Stretch, check_in_time
from attendant.models.encoders import EncoderPart

NOTHING_KNOWN = Reckoned()


class Backlog:
    """The rows of one model that have not ended, by priority and tenant, and when those that come would be done. It
    belongs to the event loop.

    Attributes:
        density: tells tokens by characters.
    """

    def __init__(self, model: EncoderPart) -> None:
        self._name = model.name
        self._limits = model.limits
        self._max_size = model.max_queue_size
        self._forecast = BatchForecast(model.limits)
        self._margin = Margin()
        self._stretch = Stretch()
        self._rows: dict[_Line, _Sum] = {}
        self.density = Density()

    def add(self, rows: Sequence[Row]) -> None:
        """Rows have come."""
        if not self._rows:
            self._forecast.begins(time.monotonic_ns())
        for row in rows:
            if (line := self._rows.get(key := (row.priority, row.tenant))) is None:
                line = self._rows[key] = _Sum()
            line.count += 1
            line.size += row.size

    def remove(self, row: Row) -> None:
        """A row has ended."""
        line = self._rows[key := (row.priority, row.tenant)]
        line.count -= 1
        line.size -= row.size
        if not line.count:
            del self._rows[key]

    def ran(self, stats: BatchStats) -> None:
        """A batch has ended."""
        self._forecast.ran(stats, time.monotonic_ns())

    def check_begin(self, context: CallContext, call: Reckoned = NOTHING_KNOWN) -> None:
        """Refuse a call before anything is done for it, if what is ahead of it, and what its texts come to at least,
        takes too long already.

        Raises:
            WouldBeLate: its rows would not be done in its time.
        """
        by_ns = context.result_by_ns
        if by_ns is not None and self._rows:
            least = self.density.least(call)
            due_ns = self._due_in_ns(call.num_rows if least else 0, least, (context.priority, context.tenant))
            due_ns = None if due_ns is None else self._stretch.value * due_ns
            self._check_time(due_ns, context.arrival_ns, by_ns)

    def check(self, rows: Sequence[Row], num_rows: int) -> Promise:
        """Refuse a call whose first rows are known. ``num_rows``: those of the whole call. Returns what is promised of
        its first rows, if these are all, to be put around their runs.

        Raises:
            WouldBeLate: they would not be done in its time.
            QueueFull: too many tokens wait already.
        """
        first = rows[0]
        size = sum(row.size for row in rows) * num_rows // len(rows)
        raw_ns = self._due_in_ns(num_rows, size, (first.priority, first.tenant))
        due_ns = None if raw_ns is None else self._stretch.value * raw_ns
        if first.deadline_ns is not None:
            self._check_time(due_ns, first.arrival_ns, first.deadline_ns)
        held = sum(line.size for line in self._rows.values())
        if self._max_size is not None and held and held + size > self._max_size:
            over_ns = self._forecast.due_in_ns(1, held + size - self._max_size, time.monotonic_ns())
            raise QueueFull(self._name, self._max_size, sane_retry_s((over_ns or 0) / 1e9), "tokens")
        if not self._rows or num_rows > len(rows):
            return Promise(self._margin)
        return Promise(self._margin, due_ns, first.deadline_ns, self._stretch, raw_ns)

    def _due_in_ns(self, num_rows: int, size: int, line: _Line) -> float | None:
        """Of rows behind those of their line, of which there may be none yet. Tenants share alike: until all of its own
        are done, another one has had as much at most."""
        priority, tenant = line
        own = self._rows.get(line)
        most = size + (own.size if own is not None else 0)
        count, held = float(num_rows), float(size)
        for (its_priority, its_tenant), there in self._rows.items():
            if its_priority < priority:
                continue
            share = 1.0
            if self._limits.order.fair and its_priority == priority and its_tenant != tenant:
                share = min(1.0, most / max(there.size, 1))
            count += share * there.count
            held += share * there.size
        return self._forecast.due_in_ns(round(count), round(held), time.monotonic_ns())

    def _check_time(self, due_ns: float | None, arrival_ns: int, by_ns: int) -> None:
        if self._limits.predict and due_ns is not None:
            check_in_time(
                self._name,
                "the result",
                due_ns,
                self._margin,
                arrival_ns=arrival_ns,
                by_ns=by_ns,
                alone_since_ns=None if self._rows else self._forecast.ended_ns,
            )


_Line = tuple[int, str]
"""A priority and a tenant."""


class _Sum:
    """Rows of one line: how many, and their sizes together."""

    def __init__(self) -> None:
        self.count = self.size = 0
