"""What one engine is at, as far as the event loop knows, and what it will come to: the input of its foresight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attendant.core.events import FailedEvent, FinishedEvent, StepReport, TokenEvent
from attendant.core.pace import Pace
from attendant.core.request import FinishReason, Request
from attendant.engine.chunking import MIN_CHUNK
from attendant.engine.facts import EngineFacts
from attendant.engine.foresight import Foresight
from attendant.engine.step_rules import NEVER, Course, Traffic
from attendant.frontend.generation.lengths import AnswerLengths

WINDOW_NS = 2_000_000_000
"""Nanoseconds over which arrivals are counted."""

FEWEST = 4
"""Arrivals in that time that are taken to go on."""

LOOP_SHARE = 0.05
"""Share of the event loop's time that looking ahead may take when requests come fast."""

CONFIDENCE = 0.9
"""Share of answers that are no longer than is taken for one whose end is promised."""

MANY = 16
"""Sequences from which on newcomers that are nearly alike are looked at once."""

FINENESS = 8
"""They are alike if the tokens of their prompts, and those of their answers, are the same to one part in so many of
their power of two; a newcomer is taken to be as large as the largest of these."""

LATEST = 0.05
"""What the latest request weighs in what one is like on average."""


@dataclass(slots=True)
class Tracked:
    """A sequence that an engine has: what it needs, and what it has had.

    Attributes:
        answer: tokens that it gets at most. least: those that come for certain.
        done: tokens of the prompt that are computed, as far as is known.
        tokens: of the answer, so far.
    """

    prompt: int
    answer: int
    least: int
    fed: int
    rows: int
    deadline_ns: int | None
    ends_hopeless: bool
    done: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, request: Request, context_length: int) -> Tracked:
        """A request that nothing has been done for."""
        prompt = len(request.prompt)
        return cls(
            prompt,
            max(min(request.params.max_tokens, context_length - prompt), 1),
            request.sure_tokens,
            request.source.length if request.source is not None else 0,
            request.beams.num_beams if request.beams is not None else 1,
            request.deadline_ns,
            request.ends_hopeless,
        )


class Outlook:
    """Keeps account of one engine's sequences, and looks ahead.

    Args:
        lengths: what is known of the lengths of answers.
    """

    def __init__(self, facts: EngineFacts, lengths: AnswerLengths) -> None:
        self._facts = facts
        self._lengths = lengths
        self._pace = facts.pace
        self._live: dict[str, Tracked] = {}  # in order of arrival
        self._latest_ns = 0  # when the latest step ended
        self._num_running = 0
        self._hits = self._queries = 0.0
        self._arrivals: deque[int] = deque(maxlen=256)
        self._mean_prompt = self._mean_answer = 0.0
        self._base: Foresight | None = None
        self._base_ns = self._origin_ns = 0
        self._base_cost_ns = 0
        self._tracked: list[Tracked] = []  # by their numbers in the base
        self._alone: list[float] | None = None  # when they end if nobody else comes
        self._seen: dict[tuple[Course, ...], _Seen] = {}  # what newcomers would be, while nothing changes
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
        self.came(now_ns)
        answer = float(self._lengths.expected(0, request.answer)) if request.least < request.answer else request.answer
        first = not self._mean_answer
        share = 1.0 if first else LATEST
        self._mean_prompt += share * (request.prompt - self._mean_prompt)
        self._mean_answer += share * (answer - self._mean_answer)

    def came(self, now_ns: int) -> None:
        """Somebody came who wants something, nobody knows what."""
        self._arrivals.append(now_ns)

    def submitted(self, request_id: str, tracked: Tracked) -> None:
        """The engine was handed a sequence."""
        self._live[request_id] = tracked
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
        computed = stats.num_prefill_tokens + stats.prefix_hits
        for event in report.events:
            if isinstance(event, TokenEvent):
                if (live := self._live.get(event.request_id)) is not None:
                    computed -= max(live.prompt - live.done, 0)
                    live.done = live.prompt
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
            courses = [_about(course) for course in courses]
        seen = self._seen.get(key := tuple(courses))
        if seen is None:
            seen = self._seen[key] = self._see(base, courses, now_ns)
        promised = [
            (alone - since_s, end - since_s, each.deadline_ns)
            for each, alone, end in zip(self._tracked, self._alone or (), seen.ends, strict=False)
            if each.deadline_ns is not None
        ]
        return seen.first_s - since_s, seen.end_s - since_s, promised

    def soonest_s(self, now_ns: int) -> float:
        """Seconds from now until one that comes now would have its first token, however short its prompt is."""
        base = self._future(now_ns)
        if self._soonest_s is None:
            future = base.copy()
            number = future.add(Course(0, 0, 1))
            future.run_to_first(number)
            self._soonest_s = future.first_s[number]
        return self._soonest_s - (now_ns - self._origin_ns) / 1e9

    def _see(self, base: Foresight, courses: Sequence[Course], now_ns: int) -> _Seen:
        traffic = None if self.is_idle else self._traffic(now_ns)
        if self._alone is None:
            begin_ns = time.perf_counter_ns()
            self._alone = _ends(base.copy(), traffic)
            self._base_cost_ns += time.perf_counter_ns() - begin_ns
        future = base.copy()
        numbers = [future.add(course) for course in courses]
        ends = _ends(future, traffic)
        return _Seen(future.first_s[numbers[0]], max(ends[i] for i in numbers), ends)

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
        self._origin_ns = self._latest_ns if self._live and self._latest_ns else now_ns
        begun = sum([each.tokens > 0 for each in self._live.values()])
        places = self._num_running - begun  # taken by some whose prompts are not computed
        self._tracked = []
        courses: list[Course] = []
        behind: list[tuple[Course, Tracked]] = []
        for each in self._live.values():
            placed = each.tokens > 0
            if not placed and places > 0:
                placed, places = True, places - each.rows
            course = self._course_of(each, self._origin_ns, placed=placed)
            if placed:
                courses.append(course)
                self._tracked.append(each)
            else:
                behind.append((course, each))
        self._tracked += [each for _, each in behind]
        future = Foresight(self._facts.rules, self._pace, [*courses, *[course for course, _ in behind]])
        since_s = (now_ns - self._origin_ns) / 1e9
        if courses and since_s > 0:  # a step runs, in which nobody new can be
            future.run_step()
            future.now_s = max(future.now_s, since_s)
        future.run_until_all_decode()
        return future

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
        while self._arrivals and now_ns - self._arrivals[0] > WINDOW_NS:
            self._arrivals.popleft()
        count = len(self._arrivals)
        if count < FEWEST:
            return None
        span_ns = WINDOW_NS if count < (self._arrivals.maxlen or 0) else now_ns - self._arrivals[0]
        prompt = max(round(self._mean_prompt), 1)
        missing, computed = self._prompt_of(Tracked(prompt, 1, 1, 0, 1, None, ends_hopeless=False), placed=False)
        return Traffic(max(span_ns / 1e9 / count, 1e-4), Course(missing, computed, max(round(self._mean_answer), 1)))


class _Seen(NamedTuple):
    """What would become of newcomers, in seconds from the base's begin: until the first's first token and the end of
    all, and the ends of everybody."""

    first_s: float
    end_s: float
    ends: list[float]


def _about(course: Course) -> Course:
    """The largest that is alike."""
    return course._replace(missing=_rounded(course.missing), answer=_rounded(course.answer), least=course.least)


def _rounded(number: int) -> int:
    """Up to a multiple of one part in ``FINENESS`` of its power of two."""
    step = max(1 << max(number.bit_length() - 1, 0), FINENESS) // FINENESS
    return -(-number // step) * step


def _ends(future: Foresight, traffic: Traffic | None) -> list[float]:
    if traffic is not None:
        future.expect(traffic)
    future.run()
    return future.end_s
