"""The rows of one model that wait, in the order they came, and by size; it decides nothing."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from attendant.core.encoding import Row


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A row, when it was added (monotonic nanoseconds), and its number: rows added later have larger ones."""

    row: Row
    added_ns: int
    number: int


class RowQueue:
    """Waiting rows. Adding and taking one costs about the logarithm of their number, as long as that is some thousands.

    The iterators may be stopped anywhere; the queue must not change while one is in use.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._by_size: list[tuple[int, int, str]] = []  # size, number, id: sorted
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, row: Row, now_ns: int) -> None:
        """Put ``row`` last."""
        assert row.id not in self._waiting, f"row {row.id} is here already"
        self._number += 1
        self._waiting[row.id] = _Waiting(row, now_ns, self._number)
        insort(self._by_size, (row.size, self._number, row.id))

    def take(self, row_id: str) -> Row | None:
        """Remove a row and return it; None if it is not here."""
        waiting = self._waiting.pop(row_id, None)
        if waiting is None:
            return None
        del self._by_size[bisect_left(self._by_size, (waiting.row.size, waiting.number, row_id))]
        return waiting.row

    def oldest(self) -> Row:
        """The row that was added first."""
        return next(iter(self._waiting.values())).row

    def oldest_added_ns(self) -> int:
        """When it was added."""
        return next(iter(self._waiting.values())).added_ns

    def of_size(self, size: int) -> Iterator[Row]:
        """The rows of exactly this size, the oldest first."""
        for place in range(bisect_left(self._by_size, (size,)), len(self._by_size)):
            found, _, row_id = self._by_size[place]
            if found != size:
                return
            yield self._waiting[row_id].row

    def of_nearest_size(self, size: int) -> Iterator[Row]:
        """Every row, the nearest in size first; of two as near, the larger, and of one size, the older."""
        by_size = self._by_size
        above = below = bisect_left(by_size, (size,))  # next larger row; end of the rows of the next smaller size
        while above < len(by_size) or below > 0:
            if below == 0 or (above < len(by_size) and by_size[above][0] - size <= size - by_size[below - 1][0]):
                yield self._waiting[by_size[above][2]].row
                above += 1
            else:
                end, below = below, bisect_left(by_size, (by_size[below - 1][0],))
                for place in range(below, end):
                    yield self._waiting[by_size[place][2]].row
