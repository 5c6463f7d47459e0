"""What one engine will come to: its ledger, run ahead by the scheduler's rules."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from attendant.core.events import StepReport
from attendant.core.fair_order import OrderRules
from attendant.core.moments import Moments
from attendant.core.pace import Pace
from attendant.engine.facts import EngineFacts
from attendant.engine.foresight import Foresight
from attendant.engine.step_rules import Course, Traffic
from attendant.frontend.generation.alike import MANY, alike
from attendant.frontend.generation.ledger import Ledger
from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.tracked import Tracked

LOOP_SHARE = 0.05
"""Share of the event loop's time that looking ahead may take when requests come fast."""


class Outlook:
    """Looks ahead of one engine.

    Args:
        lengths: what is known of the lengths of answers.
        order: of those that wait.
        clock: that says what looking ahead takes.
    """

    def __init__(
        self, facts: EngineFacts, lengths: AnswerLengths, order: OrderRules | None = None, clock: Moments = time
    ) -> None:
        self._clock = clock
        self._ledger = Ledger(facts, lengths, order)
        self._base: Foresight | None = None
        self._base_ns = self._origin_ns = 0
        self._base_cost_ns = 0
        self._tracked: list[Tracked] = []  # by their numbers in the base
        self._alone: list[float] | None = None  # when they end if nobody else comes
        self._seen: dict[_Newcomers, _Seen] = {}  # what would become of them, while nothing changes
        self._soonest_s: float | None = None

    @property
    def pace(self) -> Pace:
        """What is known of the duration of its steps."""
        return self._ledger.pace

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return self._ledger.is_idle

    def idle_s(self, now_ns: int) -> float:
        """Seconds since its latest step; 0 if there was none."""
        return self._ledger.idle_s(now_ns)

    @property
    def num_ahead(self) -> int:
        """Sequences that it has."""
        return self._ledger.num_ahead

    @property
    def waiting_tokens(self) -> int:
        """Tokens of prompts that are to be computed yet."""
        return self._ledger.waiting_tokens

    # -- what happens

    def asked(self, request: Tracked, now_ns: int) -> None:
        """Somebody wants something, whether it is let in or not."""
        self._ledger.arrivals.asked(request, now_ns)

    def came(self, now_ns: int) -> None:
        """Somebody came who wants something, nobody knows what."""
        self._ledger.arrivals.came(now_ns)

    def submitted(self, request_id: str, tracked: Tracked) -> None:
        """The engine was handed a sequence."""
        self._ledger.add(request_id, tracked)
        if self._base is not None:
            self._base.add(self._ledger.course_of(tracked, self._origin_ns, placed=False))
            self._base.run_until_all_decode()
            self._tracked.append(tracked)
            self._changed()

    def take(self, report: StepReport) -> None:
        """A step is over."""
        self._ledger.take(report)

    # -- what will

    def foresee(self, newcomers: Sequence[Tracked], now_ns: int) -> tuple[float, float, list[tuple[float, float, int]]]:
        """Let newcomers come now, in thought.

        Returns:
            Seconds from now until the first has its first token, and until all of them have ended; and of those that
            are there and have a deadline, the seconds from now until their ends without and with the newcomers, and
            their deadlines, monotonic, in nanoseconds.
        """
        base = self._future(now_ns)
        since_s = (now_ns - self._origin_ns) / 1e9
        courses = [self._ledger.newcomer(each) for each in newcomers]
        if self._ledger.num_ahead >= MANY:
            courses = [alike(course) for course in courses]
        first = newcomers[0]
        last = self._ledger.turns.is_last(first.priority, first.tenant)
        seen = self._seen.get(key := (first.priority, "" if last else first.tenant, tuple(courses)))
        if seen is None:
            see = self._see if last else partial(self._see_among, newcomers)
            seen = self._seen[key] = see(base, courses, now_ns)
        promised = [
            (alone - since_s, end - since_s, each.deadline_ns)
            for each, alone, end in zip(self._tracked, self._alone or (), seen.ends, strict=False)
            if each.deadline_ns is not None
        ]
        return seen.first_s - since_s, seen.end_s - since_s, promised

    def soonest_s(self, now_ns: int, priority: int, tenant: str) -> float:
        """Seconds from now until one that comes now would have its first token at least, however short its prompt is: 0
        if it need not wait for all that are there."""
        if not self._ledger.turns.is_last(priority, tenant):
            return 0.0
        base = self._future(now_ns)
        if self._soonest_s is None:
            future = base.copy()
            number = future.add(Course(0, 0, 1))
            future.run_to_first(number)
            self._soonest_s = future.first_s[number]
        return self._soonest_s - (now_ns - self._origin_ns) / 1e9

    def _see(self, base: Foresight, courses: Sequence[Course], now_ns: int) -> _Seen:
        traffic = self._expected(base, now_ns)
        future = base.copy()
        numbers = [future.add(course) for course in courses]
        ends = _ends(future, traffic)
        return _Seen(future.first_s[numbers[0]], max(ends[i] for i in numbers), ends)

    def _see_among(
        self, newcomers: Sequence[Tracked], base: Foresight, courses: Sequence[Course], now_ns: int
    ) -> _Seen:
        """The same of newcomers who are not behind all that wait: everything is foreseen anew, in that order."""
        traffic = self._expected(base, now_ns)
        tracked, future, origin_ns = self._ledger.compose(
            now_ns, dict(zip(map(id, newcomers), courses, strict=True)), newcomers
        )
        later_s = (origin_ns - self._origin_ns) / 1e9
        ends = {id(each): end + later_s for each, end in zip(tracked, _ends(future, traffic), strict=False)}
        first = next(number for number, each in enumerate(tracked) if each is newcomers[0])
        alone = self._alone or ()
        return _Seen(
            future.first_s[first] + later_s,
            max(ends[id(each)] for each in newcomers),
            [ends.get(id(each), end) for each, end in zip(self._tracked, alone, strict=False)],
        )

    def _expected(self, base: Foresight, now_ns: int) -> Traffic | None:
        """What comes besides; and it is known from now on when those that are there end if nobody else comes."""
        traffic = self._ledger.traffic(now_ns)
        if self._alone is None:
            begin_ns = self._clock.perf_counter_ns()
            self._alone = _ends(base.copy(), traffic)
            self._base_cost_ns += self._clock.perf_counter_ns() - begin_ns
        return traffic

    def _changed(self) -> None:
        self._alone = self._soonest_s = None
        self._seen.clear()

    def _future(self, now_ns: int) -> Foresight:
        """What is there, until nobody waits: kept while it is true, or as long as it takes to afford another look."""
        base = self._base
        age_ns = now_ns - self._base_ns
        stale = self._ledger.latest_ns > self._base_ns or self.is_idle
        if base is None or (stale and age_ns > self._base_cost_ns / LOOP_SHARE):
            begin_ns = self._clock.perf_counter_ns()
            base = self._base = self._look(now_ns)
            self._base_ns, self._base_cost_ns = now_ns, self._clock.perf_counter_ns() - begin_ns
            self._changed()
        since_s = (now_ns - self._origin_ns) / 1e9
        if base.now_s < since_s:
            base.run_to(since_s)
            base.now_s = max(base.now_s, since_s)
        return base

    def _look(self, now_ns: int) -> Foresight:
        self._tracked, future, self._origin_ns = self._ledger.compose(now_ns)
        future.run_until_all_decode()
        return future


_Newcomers = tuple[int, str, tuple[Course, ...]]
"""Their priority, their tenant if it matters, and their courses."""


class _Seen(NamedTuple):
    """What would become of newcomers, in seconds from the base's begin: until the first's first token and the end of
    all, and the ends of everybody."""

    first_s: float
    end_s: float
    ends: list[float]


def _ends(future: Foresight, traffic: Traffic | None) -> list[float]:
    if traffic is not None:
        future.expect(traffic)
    future.run()
    return future.end_s
