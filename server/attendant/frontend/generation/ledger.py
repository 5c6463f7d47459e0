"""What one engine is at, as far as the event loop knows: its sequences, what they need, and what they have had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from attendant.core.events import FailedEvent, FinishedEvent, StepReport, TokenEvent
from attendant.core.fair_order import OrderRules
from attendant.core.pace import Pace
from attendant.core.request import FinishReason
from attendant.engine.chunking import MIN_CHUNK
from attendant.engine.facts import EngineFacts
from attendant.engine.foresight import Foresight
from attendant.engine.shares import Shares
from attendant.engine.step_rules import NEVER, Course, Traffic
from attendant.frontend.generation.arrivals import Arrivals
from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.tracked import Tracked
from attendant.frontend.generation.turns import Turns

CONFIDENCE = 0.9
"""Share of answers that are no longer than is taken for one whose end is promised."""


class Ledger:
    """Keeps account of one engine's sequences.

    Attributes:
        turns: of those that wait. arrivals: of all that came, also of those that were refused.
        latest_ns: when the latest step ended, monotonic; 0: there was none.

    Args:
        lengths: what is known of the lengths of answers.
        order: of those that wait.
    """

    def __init__(self, facts: EngineFacts, lengths: AnswerLengths, order: OrderRules | None = None) -> None:
        self._facts = facts
        self._lengths = lengths
        self._pace = facts.pace
        self._live: dict[str, Tracked] = {}  # in order of arrival
        self._num_running = 0
        self._hits = self._queries = 0.0
        self.turns = Turns(order or OrderRules())
        self._shares = Shares(order or OrderRules(), facts.max_running)
        self.arrivals = Arrivals(lengths)
        self.latest_ns = 0

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
        return (now_ns - self.latest_ns) / 1e9 if self.latest_ns else 0.0

    @property
    def num_ahead(self) -> int:
        """Sequences that it has."""
        return len(self._live)

    @property
    def waiting_tokens(self) -> int:
        """Tokens of prompts that are to be computed yet."""
        return sum([each.prompt - each.done for each in self._live.values() if not each.tokens])

    def add(self, request_id: str, tracked: Tracked) -> None:
        """The engine was handed a sequence."""
        self._live[request_id] = tracked
        self.turns.add(request_id, tracked)
        self._shares.change(tracked.tenant, tracked.rows)
        if self._shares.is_light(tracked.tenant):
            self._shares.light_came(tracked.arrival_ns)

    def take(self, report: StepReport) -> None:
        """A step is over."""
        stats = report.stats
        self.latest_ns, self._num_running = report.at_ns, stats.num_running
        if report.pace.num_steps:
            self._pace = report.pace
        if stats.prefix_queries:
            self._queries = 0.9 * self._queries + stats.prefix_queries
            self._hits = 0.9 * self._hits + stats.prefix_hits
        self.turns.served(stats.served)
        computed = stats.num_prefill_tokens + stats.prefix_hits
        for event in report.events:
            if isinstance(event, TokenEvent):
                if (live := self._live.get(event.request_id)) is not None:
                    computed -= max(live.prompt - live.done, 0)
                    live.done = live.prompt
                    if not live.tokens:
                        self.turns.remove(event.request_id, begun=True)
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
        self.turns.remove(event.request_id, begun=False)
        if live is not None:
            self._shares.change(live.tenant, -live.rows)
        if live is not None and isinstance(event, FinishedEvent) and live.least < live.answer and live.rows == 1:
            self._lengths.took(event.usage.completion_tokens, ended=event.reason is FinishReason.STOP)

    def compose(
        self, now_ns: int, given: Mapping[int, Course] | None = None, newcomers: Sequence[Tracked] = ()
    ) -> tuple[list[Tracked], Foresight, int]:
        """What there is, in the engine's order; newcomers have the courses that are ``given``, by their ids. Returns
        all in the order of their numbers, what is foreseen of them, and from when on, monotonic."""
        origin_ns = self.latest_ns if self._live and self.latest_ns else now_ns
        begun = [each for each in self._live.values() if each.tokens]
        waiting: Sequence[Any] = [each for each in self._live.values() if not each.tokens]
        if newcomers or not self.turns.is_single:
            waiting = self.turns.order(newcomers, now_ns)
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
            (given or {}).get(id(each)) or self.course_of(each, origin_ns, placed=number < num_placed)
            for number, each in enumerate(tracked)
        ]
        rules = self._facts.rules
        if self._shares.light_may_come(now_ns):
            rules = replace(rules, short=True)
        future = Foresight(rules, self._pace, courses)
        since_s = (now_ns - origin_ns) / 1e9
        if num_placed and since_s > 0:  # a step runs, in which nobody new can be
            future.run_step()
            future.now_s = max(future.now_s, since_s)
        return tracked, future, origin_ns

    def course_of(self, each: Tracked, origin_ns: int, *, placed: bool) -> Course:
        """A sequence as foresight sees it from a moment on, monotonic. ``placed``: it has a place."""
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
            light=self._shares.is_light(each.tenant),
        )

    def newcomer(self, each: Tracked) -> Course:
        """One who gets a promise: its answer is likely no longer than is taken here."""
        self._shares.change(each.tenant, each.rows)
        course = self.course_of(each, 0, placed=False)._replace(ends_by_s=NEVER)
        self._shares.change(each.tenant, -each.rows)
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

    def traffic(self, now_ns: int) -> Traffic | None:
        """What comes besides, as it lately came; None: nothing, or too few to tell."""
        if self.is_idle:
            return None
        usual = self.arrivals.usual(now_ns)
        if usual is None:
            return None
        interval_s, prompt, answer = usual
        missing, computed = self._prompt_of(Tracked(prompt, 1, 1, 0, 1, None, ends_hopeless=False), placed=False)
        return Traffic(interval_s, Course(missing, computed, answer))
