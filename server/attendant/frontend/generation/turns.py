"""Whose turn it is among those that wait for an engine, as far as the event loop knows: the engine's own order, kept by
what steps tell of what tenants have had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

from attendant.core.events import TenantService
from attendant.core.fair_order import FairQueue, OrderRules, Service, Ticket
from attendant.engine.waiting import INPUT_WEIGHT, OUTPUT_WEIGHT


class Waits(Protocol):
    """What decides about a turn. ``cost``: tokens that its tenant is charged with when its turn comes."""

    @property
    def tenant(self) -> str:
        """Whom it is charged to."""

    @property
    def priority(self) -> int:
        """The higher, the sooner."""

    @property
    def arrival_ns(self) -> int:
        """When it came, monotonic."""

    @property
    def cost(self) -> int:
        """Tokens that its tenant is charged with when its turn comes."""


T = TypeVar("T", bound=Waits)


class Turns:
    """Those without a first token yet, and in which order they would get places."""

    def __init__(self, rules: OrderRules) -> None:
        self._fair = rules.fair
        self._service = Service(rules)
        self._queue: FairQueue[Waits] = FairQueue(rules, self._service)
        self._tickets: dict[str, Ticket] = {}
        self._lines: Counter[tuple[int, str]] = Counter()  # those that wait
        self._levels: dict[str, set[int]] = {}  # priorities that each tenant has come with
        self._number = 0

    def add(self, request_id: str, one: Waits) -> None:
        """One comes, and waits."""
        ticket = self._tickets[request_id] = self._ticket(one)
        self._queue.add(ticket, one)
        self._lines[_line(one)] += 1
        self._levels.setdefault(one.tenant, set()).add(one.priority)

    def remove(self, request_id: str, *, begun: bool) -> None:
        """It waits no longer, if it did. ``begun``: since its turn has come."""
        ticket = self._tickets.pop(request_id, None)
        if ticket is None:
            return
        self._queue.remove(ticket)
        line = ticket.priority, ticket.tenant
        self._lines[line] -= 1
        if not self._lines[line]:
            del self._lines[line]
        if begun:
            self._service.picked(*line)
        if not self._tickets:
            self._levels.clear()

    def served(self, tenants: Sequence[TenantService]) -> None:
        """What tenants had of a step."""
        for each in tenants:
            amount = INPUT_WEIGHT * each.num_input + OUTPUT_WEIGHT * each.num_output
            for level in self._levels.get(each.tenant, (0,)):
                self._service.charge(level, each.tenant, amount)

    @property
    def is_single(self) -> bool:
        """Whether all that wait are in the order of their arrival."""
        return len(self._lines) <= 1

    def is_last(self, priority: int, tenant: str) -> bool:
        """Whether one that comes now is behind all that wait."""
        return not self._lines or (self.is_single and (priority, tenant) in self._lines) or self._all_alike(priority)

    def _all_alike(self, priority: int) -> bool:
        return not self._fair and all(level == priority for level, _ in self._lines)

    def order(self, newcomers: Sequence[T], now_ns: int) -> list[Waits]:
        """All that wait, and newcomers among them, in the order in which they would get places if nobody else came."""
        tickets = [self._ticket(each) for each in newcomers]
        for ticket, each in zip(tickets, newcomers, strict=True):
            self._queue.add(ticket, each)
        found = [one for _, one in self._queue.in_order(now_ns, lambda one: one.cost)]
        for ticket in tickets:
            self._queue.remove(ticket)
        return found

    def _ticket(self, one: Waits) -> Ticket:
        self._number += 1
        return Ticket(self._number, one.tenant, one.priority, one.arrival_ns)


def _line(one: Waits) -> tuple[int, str]:
    return one.priority, one.tenant
