"""Who is next, and who gives way: sequences without a place in order of a key, by default that of their arrival."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from typing import Any

from attendant.engine.sequence import Sequence

OrderKey = Callable[[Sequence], Any]
"""What sequences are ordered by, smallest first. It stays the same for all sequences of a request while they live, and
can be compared with those of other requests; of equal ones the older is first."""


def by_arrival(sequence: Sequence) -> int:
    """First come, first served."""
    return sequence.order


class WaitingQueue:
    """The sequences that wait, one for each request. Nobody is overtaken: while the first does not fit, all wait."""

    def __init__(self, key: OrderKey = by_arrival) -> None:
        self._key = key
        self._entries: list[tuple[tuple[Any, int], Sequence]] = []  # in order; no two have the same rank

    def __len__(self) -> int:
        return len(self._entries)

    def rank(self, sequence: Sequence) -> tuple[Any, int]:
        """What sequences are ordered by, those that wait and those that run."""
        return self._key(sequence), sequence.order

    def first(self) -> Sequence | None:
        """The next to get a place."""
        return self._entries[0][1] if self._entries else None

    def add(self, sequence: Sequence) -> None:
        """The sequence waits, for the first time or since it lost its place."""
        bisect.insort(self._entries, (self.rank(sequence), sequence), key=_rank_of)

    def remove(self, sequence: Sequence) -> None:
        """The sequence's request waits no longer."""
        place = bisect.bisect_left(self._entries, self.rank(sequence), key=_rank_of)
        _, found = self._entries.pop(place)
        assert found.request is sequence.request

    def victim(self, running: Iterable[Sequence]) -> Sequence:
        """The one of those that run, at least one, to give its memory up for the others: the last in order."""
        return max(running, key=self.rank)


def _rank_of(entry: tuple[tuple[Any, int], Sequence]) -> tuple[Any, int]:
    return entry[0]
