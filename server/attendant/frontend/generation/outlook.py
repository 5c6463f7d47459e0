"""What one engine is at, as far as the event loop knows, and what it will come to: the input of its foresight."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from attendant.core.events import FailedEvent, FinishedEvent, StepReport, TokenEvent
from attendant.core.fair_order import OrderRules
from attendant.core.pace import Pace
from attendant.core.request import FinishReason
from attendant.engine.chunking import MIN_CHUNK
from attendant.engine.facts import EngineFacts
from attendant.engine.foresight import Foresight
from attendant.engine.step_rules import NEVER, Course, Traffic
from attendant.frontend.generation.alike import MANY, alike
from attendant.frontend.generation.arrivals import Arrivals
from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.tracked import Tracked
from attendant.frontend.generation.turns import Turns

LOOP_SHARE = 0.05
"""Share of the event loop's time that looking ahead may take when requests come fast."""

CONFIDENCE = 0.9
"""Share of answers that are no longer than is taken for one whose end is promised."""


class Outlook:
    """Keeps account of one engine's sequences, and looks ahead.

    Args:
        lengths: what is known of the lengths of answers.
        order: of those that wait.
    """

    def __init__(self, facts: EngineFacts, lengths: AnswerLengths, order: OrderRules | None = None) -> None:
        self._facts = facts
        self._turns = Turns(order or OrderRules())
        self._lengths = lengths
        self._pace = facts.pace
        self._live: dict[str, Tracked] = {}  # in order of arrival
        self._latest_ns = 0  # when the latest step ended
        self._num_running = 0
        self._hits = self._queries = 0.0
        self._arrivals = Arrivals(lengths)
        self._base: Foresight | None = None
        self._base_ns = self._origin_ns = 0
        self._base_cost_ns = 0
        self._tracked: list[Tracked] = []  # by their numbers in the base
        self._alone: list[float] | None = None  # when they end if nobody else comes
        self._seen: dict[
            tuple[int, str, tuple[Course, ...]], _Seen
        ] = {}  # what newcomers would be, while nothing changes
        self._soonest_s: float | None = None

    @property
    def pace(self) -> Pace:
        """What is known of the duration of its steps."""
        return self._pace

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self._live

    def idle_s(self, now_ns: int) -> float:
        """Seconds since its latest step; 0 if there was none."""
        return (now_ns - self._latest_ns) / 1e9 if self._latest_ns else 0.0

    @property
    def num_ahead(self) -> int:
        """Sequences that it has."""
        return len(self._live)

    @property
    def waiting_tokens(self) -> int:
        """Tokens of prompts that are to be computed yet."""
        return sum([each.prompt - each.done for each in self._live.values() if not each.tokens])

    # -- what happens

    def asked(self, request: Tracked, now_ns: int) -> None:
        """Somebody wants something, whether it is let in or not."""
        self._arrivals.asked(request, now_ns)

    def came(self, now_ns: int) -> None:
        """Somebody came who wants something, nobody knows what."""
        self._arrivals.came(now_ns)

    def submitted(self, request_id: str, tracked: Tracked) -> None:
        """The engine was handed a sequence."""
        self._live[request_id] = tracked
        self._turns.add(request_id, tracked)
        if self._base is not None:
            self._base.add(self._course_of(tracked, self._origin_ns, placed=False))
            self._base.run_until_all_decode()
            self._tracked.append(tracked)
            self._changed()

    def take(self, report: StepReport) -> None:
        """A step is over."""
        stats = report.stats
        self._latest_ns, self._num_running = report.at_ns, stats.num_running
        if report.pace.num_steps:
            self._pace = report.pace
        if stats.prefix_queries:
            self._queries = 0.9 * self._queries + stats.prefix_queries
            self._hits = 0.9 * self._hits + stats.prefix_hits
        self._turns.served(stats.served)
        computed = stats.num_prefill_tokens + stats.prefix_hits
        for event in report.events:
            if isinstance(event, TokenEvent):
                if (live := self._live.get(event.request_id)) is not None:
                    computed -= max(live.prompt - live.done, 0)
                    live.done = live.prompt
                    if not live.tokens:
                        self._turns.remove(event.request_id, begun=True)
                    live.tokens += 1
            else:
                self._end(event)
        if computed > 0:
            self._note_prompts(computed)

    def _note_prompts(self, computed: int) -> None:
        for live in self._live.values():
            if live.tokens or live.done >= live.prompt - MIN_CHUNK:
                continue
            part = min(computed, live.prompt - MIN_CHUNK - live.done)
            live.done += part
            computed -= part
            if computed <= 0:
                return

    def _end(self, event: FinishedEvent | FailedEvent) -> None:
        live = self._live.pop(event.request_id, None)
        self._turns.remove(event.request_id, begun=False)
        if live is not None and isinstance(event, FinishedEvent) and live.least < live.answer and live.rows == 1:
            self._lengths.took(event.usage.completion_tokens, ended=event.reason is FinishReason.STOP)

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
        courses = [self._newcomer(each) for each in newcomers]
        if len(self._live) >= MANY:
            courses = [alike(course) for course in courses]
        first = newcomers[0]
        last = self._turns.is_last(first.priority, first.tenant)
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
        if not self._turns.is_last(priority, tenant):
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
        tracked, future, origin_ns = self._compose(
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
        traffic = None if self.is_idle else self._traffic(now_ns)
        if self._alone is None:
            begin_ns = time.perf_counter_ns()
            self._alone = _ends(base.copy(), traffic)
            self._base_cost_ns += time.perf_counter_ns() - begin_ns
        return traffic

    def _changed(self) -> None:
        self._alone = self._soonest_s = None
        self._seen.clear()

    def _future(self, now_ns: int) -> Foresight:
        """What is there, until nobody waits: kept while it is true, or as long as it takes to afford another look."""
        base = self._base
        age_ns = now_ns - self._base_ns
        stale = self._latest_ns > self._base_ns or not self._live
        if base is None or (stale and age_ns > self._base_cost_ns / LOOP_SHARE):
            begin_ns = time.perf_counter_ns()
            base = self._base = self._look(now_ns)
            self._base_ns, self._base_cost_ns = now_ns, time.perf_counter_ns() - begin_ns
            self._changed()
        since_s = (now_ns - self._origin_ns) / 1e9
        if base.now_s < since_s:
            base.run_to(since_s)
            base.now_s = max(base.now_s, since_s)
        return base

    def _look(self, now_ns: int) -> Foresight:
        self._tracked, future, self._origin_ns = self._compose(now_ns)
        future.run_until_all_decode()
        return future

    def _compose(
        self, now_ns: int, given: Mapping[int, Course] | None = None, newcomers: Sequence[Tracked] = ()
    ) -> tuple[list[Tracked], Foresight, int]:
        """What there is, in the engine's order; newcomers have the courses that are ``given``, by their ids. Returns
        all in the order of their numbers, what is foreseen of them, and from when on, monotonic."""
        origin_ns = self._latest_ns if self._live and self._latest_ns else now_ns
        begun = [each for each in self._live.values() if each.tokens]
        waiting: Sequence[Any] = [each for each in self._live.values() if not each.tokens]
        if newcomers or not self._turns.is_single:
            waiting = self._turns.order(newcomers, now_ns)
        places = self._num_running - len(begun)  # taken by some whose prompts are not computed
        placed: list[Tracked] = []
        behind: list[Tracked] = []
        for each in waiting:
            if places > 0 and not (given and id(each) in given):
                places -= each.rows
                placed.append(each)
            else:
                behind.append(each)
        tracked = [*begun, *placed, *behind]
        num_placed = len(begun) + len(placed)
        courses = [
            (given or {}).get(id(each)) or self._course_of(each, origin_ns, placed=number < num_placed)
            for number, each in enumerate(tracked)
        ]
        future = Foresight(self._facts.rules, self._pace, courses)
        since_s = (now_ns - origin_ns) / 1e9
        if num_placed and since_s > 0:  # a step runs, in which nobody new can be
            future.run_step()
            future.now_s = max(future.now_s, since_s)
        return tracked, future, origin_ns

    def _course_of(self, each: Tracked, origin_ns: int, *, placed: bool) -> Course:
        certain = each.least >= each.answer or each.rows > 1
        left = each.answer - each.tokens if certain else self._lengths.expected(each.tokens, each.answer)
        ends_by_s = NEVER
        if each.ends_hopeless and each.deadline_ns is not None:
            ends_by_s = (each.deadline_ns - origin_ns) / 1e9
        missing, computed = self._prompt_of(each, placed=placed)
        return Course(
            missing,
            computed,
            max(left, 1),
            0 if placed else each.fed,
            each.rows,
            placed,
            least=max(each.least - each.tokens, 0),
            ends_by_s=ends_by_s,
        )

    def _newcomer(self, each: Tracked) -> Course:
        """One who gets a promise: its answer is likely no longer than is taken here."""
        course = self._course_of(each, 0, placed=False)._replace(ends_by_s=NEVER)
        if each.least < each.answer and each.rows == 1:
            course = course._replace(answer=max(self._lengths.at_most(each.answer, CONFIDENCE), each.least))
        return course

    def _prompt_of(self, each: Tracked, *, placed: bool) -> tuple[int, int]:
        """Tokens of the prompt that are missing, and those that will be there."""
        if each.tokens:
            return 0, each.prompt + each.tokens - 1
        if each.prompt == 1:
            return 0, 0
        known = each.done
        if not placed and not each.fed:
            known = max(known, round(each.prompt * self._hits / self._queries) if self._queries else 0)
        known = min(known, max(each.prompt - MIN_CHUNK, 0))
        return each.prompt - known, known

    def _traffic(self, now_ns: int) -> Traffic | None:
        usual = self._arrivals.usual(now_ns)
        if usual is None:
            return None
        interval_s, prompt, answer = usual
        missing, computed = self._prompt_of(Tracked(prompt, 1, 1, 0, 1, None, ends_hopeless=False), placed=False)
        return Traffic(interval_s, Course(missing, computed, answer))


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
