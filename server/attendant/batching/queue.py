"""The rows of one model that wait: which is next, and which are like it in size; it decides no batch."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attendant.core.encoding import Row
from attendant.core.fair_order import FairQueue, OrderRules, Service, Ticket


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A row, when it was added (monotonic nanoseconds), and its ticket: rows added later have larger numbers."""

    row: Row
    added_ns: int
    ticket: Ticket


class RowQueue:
    """Waiting rows. Adding and taking one costs about the logarithm of their number, as long as that is some thousands.

    The iterators may be stopped anywhere; the queue must not change while one is in use.
    """

    def __init__(self, rules: OrderRules | None = None) -> None:
        self._fair: FairQueue[Row] = FairQueue(rules := rules or OrderRules(), Service(rules))
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._by_size: list[tuple[int, int, str]] = []  # size, number, id: sorted
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, row: Row, now_ns: int) -> None:
        """Put ``row`` last."""
        assert row.id not in self._waiting, f"row {row.id} is here already"
        self._number += 1
        ticket = Ticket(self._number, row.tenant, row.priority, row.arrival_ns)
        self._fair.add(ticket, row)
        self._waiting[row.id] = _Waiting(row, now_ns, ticket)
        insort(self._by_size, (row.size, self._number, row.id))

    def take(self, row_id: str) -> Row | None:
        """Remove a row and return it; None if it is not here."""
        waiting = self._waiting.pop(row_id, None)
        if waiting is None:
            return None
        del self._by_size[bisect_left(self._by_size, (waiting.row.size, waiting.ticket.order, row_id))]
        self._fair.remove(waiting.ticket)
        return waiting.row

    def first(self, now_ns: int) -> Row:
        """The row whose turn it is: of the highest level the one of the tenant that has had least, by size; of one
        tenant and one priority the one that was added first."""
        found = self._fair.first(now_ns)
        assert found is not None
        return found[2]

    def owed(self, row: Row, now_ns: int) -> tuple[int, Iterator[Row]]:
        """How much the tenant of ``row``, whose turn it is, has had less than the next one, and its other rows of that
        priority, the oldest first. 0: nobody else waits at its level."""
        return self._fair.owed(self._waiting[row.id].ticket, now_ns)

    def served(self, rows: Sequence[Row], now_ns: int) -> None:
        """These rows, the first of which is the one whose turn it is, run next: their tenants have had them."""
        found = self._fair.first(now_ns)
        assert found is not None
        level, ticket, _ = found
        service = self._fair.service
        service.picked(level, ticket.tenant)
        for row in rows:
            service.charge(level if row.priority == ticket.priority else row.priority, row.tenant, row.size)

    def oldest_added_ns(self) -> int:
        """When the row was added that was added first."""
        return next(iter(self._waiting.values())).added_ns

    def of_size(self, size: int) -> Iterator[Row]:
        """The rows of exactly this size, the oldest first."""
        for place in range(bisect_left(self._by_size, (size,)), len(self._by_size)):
            found, _, row_id = self._by_size[place]
            if found != size:
                return
            yield self._waiting[row_id].row

    def oldest(self, num_rows: int, size: int) -> list[Row]:
        """The rows that were added first: so many, or as many more as together have this size."""
        found: list[Row] = []
        for waiting in self._waiting.values():
            if len(found) >= num_rows and size <= 0:
                break
            found.append(waiting.row)
            size -= waiting.row.size
        return found

    def of_nearest_size(self, size: int, among: Sequence[Row] | None = None) -> Iterator[Row]:
        """Every row, or those ``among`` which are asked for, the nearest in size first; of two as near, the larger, and
        of one size, the older."""
        by_size = self._by_size
        if among is not None:
            by_size = sorted([(row.size, self._waiting[row.id].ticket.order, row.id) for row in among])
        above = below = bisect_left(by_size, (size,))  # next larger row; end of the rows of the next smaller size
        while above < len(by_size) or below > 0:
            if below == 0 or (above < len(by_size) and by_size[above][0] - size <= size - by_size[below - 1][0]):
                yield self._waiting[by_size[above][2]].row
                above += 1
            else:
                end, below = below, bisect_left(by_size, (by_size[below - 1][0],))
                for place in range(below, end):
                    yield self._waiting[by_size[place][2]].row
