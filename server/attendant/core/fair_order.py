"""Who is next among callers who share one thing: by level, then by what each tenant has had of it, then by arrival."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
_Line = tuple[str, int]
Rank = tuple[int, int, int]
"""Smaller is sooner: the level turned around, what the tenant has had, the order of arrival."""

MOST_TENANTS = 4096
"""Tenants that are remembered, beyond those who wait, for what they have had."""


@dataclass(frozen=True, slots=True)
class OrderRules:
    """How an order is made.

    Attributes:
        fair: tenants share; otherwise all of them are one.
        aging_ns: so many nanoseconds of waiting count as one more of priority; 0: none do.
        takes_places: who waits for a place may take that of one that runs at a lower level.
        light_first: of models that generate, tenants that want little do not wait for those that want much more; only
            if ``fair``.
    """

    fair: bool = True
    aging_ns: int = 10_000_000_000
    takes_places: bool = False
    light_first: bool = True


class Ticket(NamedTuple):
    """What decides about the turn of one that waits. ``order``: of arrival, unlike all others'; ``arrival_ns``:
    monotonic."""

    order: int
    tenant: str = ""
    priority: int = 0
    arrival_ns: int = 0


class Service:
    """What tenants have had, at each level by itself: the virtual token counters of Sheng et al., "Fairness in Serving
    Large Language Models" (OSDI 2024).

    The tenant whose counter is smallest is next. A counter never counts as less than the one that was picked last, so
    nobody gains by having stayed away: that is the paper's lift, made when a counter is looked at. So of two tenants
    who both wait for as long as one likes, neither gets more than the other by more than twice what the requests can
    be charged with that run together, or that one prompt costs.
    """

    def __init__(self, rules: OrderRules) -> None:
        self._fair = rules.fair
        self._had: dict[tuple[int, str], int] = {}
        self._floors: dict[int, int] = {}

    def of(self, level: int, tenant: str) -> int:
        """What the tenant's turn is decided by."""
        floor = self._floors.get(level, 0)
        return max(self._had.get((level, tenant), floor), floor) if self._fair else 0

    def picked(self, level: int, tenant: str) -> None:
        """It is the tenant's turn."""
        if not self._fair:
            return
        self._had[level, tenant] = self._floors[level] = self.of(level, tenant)
        if len(self._had) > 2 * MOST_TENANTS:
            self._forget()

    def charge(self, level: int, tenant: str, amount: int) -> None:
        """The tenant has had so much more."""
        if self._fair:
            self._had[level, tenant] = self.of(level, tenant) + amount

    def copy(self) -> Service:
        """The same, to try out what would be."""
        copied = Service(OrderRules(fair=self._fair))
        copied._had, copied._floors = dict(self._had), dict(self._floors)
        return copied

    def _forget(self) -> None:
        """Drop counters that count as the floor; of the others, if there are too many, those that are least above."""
        above = {key: had for key, had in self._had.items() if had > self._floors.get(key[0], 0)}
        most = heapq.nlargest(MOST_TENANTS, above, key=lambda key: above[key] - self._floors.get(key[0], 0))
        self._had = {key: above[key] for key in most}


class FairQueue(Generic[T]):
    """Those that wait, in lines: one for each tenant and priority, in order of arrival.

    The level of one that waits is its priority and what its waiting adds to that, but never above the highest priority
    of those that wait: waiting brings it as far as those of higher priority, among whom tenants share.
    """

    def __init__(self, rules: OrderRules, service: Service) -> None:
        self._rules = rules
        self.service = service
        self._lines: dict[_Line, list[tuple[Ticket, T]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, ticket: Ticket, item: T) -> None:
        """One waits, for the first time or again; ``ticket`` stays the same."""
        insort(self._lines.setdefault((ticket.tenant, ticket.priority), []), (ticket, item), key=_order_of)
        self._size += 1

    def remove(self, ticket: Ticket) -> T:
        """One waits no longer."""
        key = (ticket.tenant, ticket.priority)
        line = self._lines[key]
        place = bisect_left(line, ticket.order, key=_order_of)
        found, item = line.pop(place)
        assert found.order == ticket.order
        if not line:
            del self._lines[key]
        self._size -= 1
        return item

    def first(self, now_ns: int) -> tuple[int, Ticket, T] | None:
        """The next, with its level and ticket; None if nobody waits."""
        lines = self._lines
        if len(lines) <= 1:
            for (_, priority), line in lines.items():
                return priority, *line[0]
            return None
        top, of = self._top(), self.service.of
        best: tuple[Rank, list[tuple[Ticket, T]]] | None = None
        for (tenant, priority), line in lines.items():
            ticket = line[0][0]
            level = self._level(ticket, priority, top, now_ns)
            rank = (-level, of(level, tenant), ticket.order)
            if best is None or rank < best[0]:
                best = rank, line
        assert best is not None
        return -best[0][0], *best[1][0]

    def tenants(self) -> set[str]:
        """Whose they are."""
        return {tenant for tenant, _ in self._lines}

    def owed(self, ticket: Ticket, now_ns: int) -> tuple[int, Iterator[T]]:
        """How much less than the next tenant of its level the tenant has had that is first, and who else waits in its
        line, the oldest first. ``ticket``: of the first."""
        line = (ticket.tenant, ticket.priority)
        top = self._top()
        level = self._level(ticket, ticket.priority, top, now_ns)
        others = [
            self.service.of(level, tenant)
            for (tenant, priority), waiting in self._lines.items()
            if tenant != line[0] and self._level(waiting[0][0], priority, top, now_ns) == level
        ]
        owed = min(others) - self.service.of(level, line[0]) if others else 0
        return owed, (item for found, item in self._lines[line] if found.order != ticket.order)

    def in_order(self, now_ns: int, cost: Callable[[T], int]) -> Iterator[tuple[int, T]]:
        """All in the order in which they would be taken if nobody came and nothing else was charged, with their levels.

        Args:
            cost: what a tenant is charged with when one of its own is taken.
        """
        service = self.service.copy()
        lines = {key: deque(line) for key, line in self._lines.items()}
        while lines:
            top = max(priority for _, priority in lines)
            yield from self._of_level(top, lines, service, now_ns, cost)

    def _of_level(
        self,
        top: int,
        lines: dict[_Line, deque[tuple[Ticket, T]]],
        service: Service,
        now_ns: int,
        cost: Callable[[T], int],
    ) -> Iterator[tuple[int, T]]:
        """Those that would be taken out of ``lines`` as long as some of priority ``top`` are left, the highest."""
        num_left = sum(len(line) for (_, priority), line in lines.items() if priority == top)
        heap: list[tuple[int, int, _Line]] = []
        fresh = list(lines)
        while num_left:
            for key in fresh:
                if key in lines and self._level(ticket := lines[key][0][0], key[1], top, now_ns) == top:
                    heapq.heappush(heap, (service.of(top, key[0]), ticket.order, key))
            had, _, key = heapq.heappop(heap)
            tenant, priority = key
            fresh = [key]
            if had < service.of(top, tenant):  # another line of this tenant has been charged
                continue
            item = lines[key].popleft()[1]
            if not lines[key]:
                del lines[key]
            num_left -= priority == top
            service.picked(top, tenant)
            service.charge(top, tenant, cost(item))
            yield top, item

    def rank(self, level: int, ticket: Ticket) -> Rank:
        """Where one belongs that is at this level, whether it waits or not."""
        return -level, self.service.of(level, ticket.tenant), ticket.order

    def _top(self) -> int:
        return max(priority for _, priority in self._lines)

    def _level(self, ticket: Ticket, priority: int, top: int, now_ns: int) -> int:
        if priority == top or not self._rules.aging_ns:
            return priority
        return min(top, priority + max(now_ns - ticket.arrival_ns, 0) // self._rules.aging_ns)


def _order_of(entry: tuple[Ticket, T]) -> int:
    return entry[0].order
