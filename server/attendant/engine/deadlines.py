"""When requests expire."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator

_SPARE = 64
"""Deadlines of ended requests that are kept beyond as many as there are living ones."""


class Deadlines:
    """The deadlines of requests, earliest first. Those of requests that have ended are forgotten in passing.

    Args:
        alive: ids of the requests that have not ended, kept by somebody else.
    """

    def __init__(self, alive: Container[str]) -> None:
        self._alive = alive
        self._heap: list[tuple[int, str]] = []
        self._limit = _SPARE

    def add(self, deadline_ns: int, request_id: str) -> None:
        """Note a deadline, in nanoseconds of the monotonic clock."""
        if len(self._heap) >= self._limit:
            self._heap = [entry for entry in self._heap if entry[1] in self._alive]
            heapq.heapify(self._heap)
            self._limit = 2 * len(self._heap) + _SPARE
        heapq.heappush(self._heap, (deadline_ns, request_id))

    def expired(self, now_ns: int) -> Iterator[str]:
        """Ids of the living requests whose time is up, each once."""
        while self._heap and self._heap[0][0] <= now_ns:
            _, request_id = heapq.heappop(self._heap)
            if request_id in self._alive:
                yield request_id
