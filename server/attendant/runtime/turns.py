"""Who may run on the processors, and when: the book of those that models in one process take. No threads, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

QUIET_NS = 5_000_000
"""So long after its last run a model may be between two of them, and what is only being loaded does not begin one."""

LOADING_SHARE = 0.05
"""Time that runs of a model that is being loaded take, where they keep others waiting, as a share of what those get."""


@dataclass(slots=True, eq=False)
class Contender:
    """What a model has had of the processors.

    Attributes:
        loading: nobody waits for its answers yet, so that its runs give way to all others.
        spent: where its next run stands in line, in nanoseconds of one processor.
    """

    loading: bool = False
    spent: float = 0.0


@dataclass(slots=True, eq=False)
class Ticket:
    """A run of ``threads`` threads that waits or goes on: ``since_ns`` is when it began, None before.

    ``start``: its place in line; of equal ones the lower ``number`` is first. ``loading``: its model was when it asked.
    """

    contender: Contender
    threads: int
    start: float
    number: int
    loading: bool
    since_ns: int | None = None


class Turns:
    """Gives out ``processors`` processors. A run has as many as it has threads, at most all, until it ends.

    Among models that serve, whoever has had least is next: a run stands where its contender does, or, if that did
    nothing for a while, where those stand who run (start-time fair queueing, Goyal, Vin and Cheng 1996). So two models
    that always have something to run get the same time, but for what their longest runs take, and nothing is saved up.
    A run that is next but wider than what is free is waited for, so that wide runs do not wait for ever.

    Runs of a model that is being loaded go one at a time, when nothing has run for :data:`QUIET_NS`, or when they owe
    nothing: one that keeps others waiting owes them its own time divided by :data:`LOADING_SHARE`, and what they then
    get pays for it. It is next then, so that loading ends, too.
    """

    def __init__(self, processors: int) -> None:
        self._processors = processors
        self._free = processors
        self._now = 0.0  # the place in line of whoever began last
        self._numbers = count()
        self._serving: list[Ticket] = []
        self._loading: list[Ticket] = []
        self._num_running = 0  # of those that serve
        self._one_loads = False
        self._owed_ns = 0.0
        self._last_end_ns: int | None = None  # of a run that serves

    def ask(self, contender: Contender, threads: int) -> Ticket:
        """A run would like to begin."""
        start = max(self._now, contender.spent)
        ticket = Ticket(contender, min(threads, self._processors), start, next(self._numbers), contender.loading)
        self._queue(ticket).append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """A run that waits does not want to begin any more."""
        assert ticket.since_ns is None
        self._queue(ticket).remove(ticket)

    def begin(self, now_ns: int) -> list[Ticket]:
        """Those that begin now, in order."""
        begun = []
        while (ticket := self._next(now_ns)) is not None and ticket.threads <= self._free:
            ticket.since_ns = now_ns
            self._free -= ticket.threads
            self._queue(ticket).remove(ticket)
            if ticket.loading:
                self._one_loads = True
            else:
                self._num_running += 1
                self._now = max(self._now, ticket.start)
            begun.append(ticket)
        return begun

    def end(self, ticket: Ticket, now_ns: int) -> None:
        """A run has ended, however it did."""
        assert ticket.since_ns is not None
        cost = (now_ns - ticket.since_ns) * ticket.threads
        self._free += ticket.threads
        if ticket.loading:
            self._one_loads = False
            if self._serving:
                self._owed_ns += cost / LOADING_SHARE
            return
        ticket.contender.spent = max(ticket.contender.spent, ticket.start) + cost
        self._num_running -= 1
        self._last_end_ns = now_ns
        self._owed_ns = max(self._owed_ns - cost, 0.0)

    def earliest_in_ns(self, now_ns: int) -> int:
        """How long it takes until it could be quiet: if nothing runs, until it is, and if something does, as long as
        quiet lasts after it."""
        if self._serving or self._num_running or self._last_end_ns is None:
            return QUIET_NS
        return max(self._last_end_ns + QUIET_NS - now_ns, 0)

    def _queue(self, ticket: Ticket) -> list[Ticket]:
        return self._loading if ticket.loading else self._serving

    def _next(self, now_ns: int) -> Ticket | None:
        if self._loading and not self._one_loads and (self._owed_ns <= 0 or self._is_quiet(now_ns)):
            return self._loading[0]
        return min(self._serving, key=lambda ticket: (ticket.start, ticket.number), default=None)

    def _is_quiet(self, now_ns: int) -> bool:
        if self._serving or self._num_running:
            return False
        return self._last_end_ns is None or now_ns - self._last_end_ns >= QUIET_NS
