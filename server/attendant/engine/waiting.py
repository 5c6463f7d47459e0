"""Who is next, and who gives way: sequences without a place in a fair order, and what their tenants have had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from attendant.core.evenness import Evenness
from attendant.core.events import TenantService
from attendant.core.fair_order import FairQueue, OrderRules, Rank, Service
from attendant.engine.sequence import Sequence
from attendant.engine.shares import Shares

INPUT_WEIGHT, OUTPUT_WEIGHT = 1, 2
"""What a tenant is charged with for a token of a prompt, and for one that is generated: the paper's weights. A cached
token of a prompt costs nothing, and what is computed again after a preemption is not charged again."""


class WaitingQueue:
    """The sequences that wait, one for each request, and the order of those that run.

    While the first does not fit, all wait: nobody of its level goes ahead of a tenant that has had less. So one is
    overtaken only by those whose tenants have had less than its own, and by higher levels, which it reaches by waiting.
    """

    def __init__(self, rules: OrderRules, num_places: int = 1) -> None:
        self.rules = rules
        self.shares = Shares(rules, num_places)
        self._service = Service(rules)
        self._queue: FairQueue[Sequence] = FairQueue(rules, self._service)
        self._running: Counter[tuple[int, str]] = Counter()  # sequences by level and tenant
        self._inputs: Counter[str] = Counter()  # tokens by tenant since they were told
        self._outputs: Counter[str] = Counter()
        self._evenness = Evenness()

    def __len__(self) -> int:
        return len(self._queue)

    def first(self, now_ns: int) -> Sequence | None:
        """The next to get a place, which learns its level."""
        found = self._queue.first(now_ns)
        if found is None:
            return None
        found[2].level = found[0]
        return found[2]

    def in_order(self, now_ns: int) -> Iterator[Sequence]:
        """All that wait, in the order in which they would get places if nobody came and no token was generated."""
        return (sequence for _, sequence in self._queue.in_order(now_ns, _input_cost))

    def add(self, sequence: Sequence) -> None:
        """The sequence waits, for the first time or since it lost its place."""
        self._queue.add(sequence.ticket, sequence)
        self.shares.change(sequence.ticket.tenant, _num_places(sequence))

    def remove(self, sequence: Sequence) -> None:
        """The sequence's request waits no longer."""
        found = self._queue.remove(sequence.ticket)
        assert found.request is sequence.request
        self.shares.change(sequence.ticket.tenant, -_num_places(sequence))

    # -- those that run

    @property
    def mixed(self) -> bool:
        """Whether those that run are of several tenants or levels, so that their order changes."""
        return len(self._running) > 1

    def placed(self, sequence: Sequence) -> None:
        """The sequence, or a beam of one, has got a place, by its level."""
        self._running[sequence.level, sequence.ticket.tenant] += 1
        self.shares.change(sequence.ticket.tenant, 1)

    def unplaced(self, sequence: Sequence) -> None:
        """It has its place no longer."""
        key = sequence.level, sequence.ticket.tenant
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        self.shares.change(sequence.ticket.tenant, -1)

    def is_light(self, sequence: Sequence) -> bool:
        """Whether its tenant wants so little beside others that it need not wait for them."""
        return self.shares.is_light(sequence.ticket.tenant)

    def goes_before(self, first: Sequence, placed: Sequence) -> bool:
        """Whether the first that waits goes before one that has a place: if its tenant is light and has had less."""
        return self.is_light(first) and self.rank(first) < self.rank(placed)

    def note_prompt(self, sequence: Sequence, now_ns: int) -> bool:
        """Its prompt is computed. Returns whether its tenant is light."""
        light = self.is_light(sequence)
        if light:
            self.shares.light_came(now_ns)
        return light

    def rank(self, sequence: Sequence) -> Rank:
        """What sequences that run are ordered by: level, what the tenant has had, arrival."""
        return self._queue.rank(sequence.level, sequence.ticket)

    def victim(self, running: Iterable[Sequence]) -> Sequence:
        """The one of those that run, at least one, to give its memory up for the others: the last in order."""
        return max(running, key=self.rank)

    # -- what tenants have had

    def begins(self, sequence: Sequence, *, first: bool) -> None:
        """It is the sequence's turn; its prompt is charged the first time."""
        level, tenant = sequence.level, sequence.ticket.tenant
        self._service.picked(level, tenant)
        if first:
            cost = _input_cost(sequence)
            self._service.charge(level, tenant, INPUT_WEIGHT * cost)
            self._inputs[tenant] += cost

    def generated(self, sequence: Sequence) -> None:
        """A token of the sequence was chosen."""
        tenant = sequence.ticket.tenant
        self._service.charge(sequence.level, tenant, OUTPUT_WEIGHT)
        self._outputs[tenant] += 1

    def had(self, sequence: Sequence) -> int:
        """What its tenant has had, at its level."""
        return self._service.of(sequence.level, sequence.ticket.tenant)

    def evenness(self, served: tuple[TenantService, ...], now_ns: int) -> float | None:
        """See :meth:`attendant.core.evenness.Evenness.take`; once for each step."""
        had = [(tenant, INPUT_WEIGHT * given + OUTPUT_WEIGHT * made) for tenant, given, made in served]
        return self._evenness.take(self._queue.tenants(), had, now_ns)

    def take_served(self) -> tuple[TenantService, ...]:
        """What tenants have had since the last call."""
        if not self._inputs and not self._outputs:
            return ()
        tenants = dict.fromkeys((*self._inputs, *self._outputs))
        served = tuple([TenantService(tenant, self._inputs[tenant], self._outputs[tenant]) for tenant in tenants])
        self._inputs.clear()
        self._outputs.clear()
        return served


def _num_places(sequence: Sequence) -> int:
    beams = sequence.request.beams
    return beams.num_beams if beams else 1


def _input_cost(sequence: Sequence) -> int:
    """Tokens of the prompt, of an answer that goes on, and of what memories are fed with, that have to be computed."""
    known = sequence.num_prompt + len(sequence.request.received)
    return known - (sequence.num_cached or 0) + sequence.memories.size
