"""What the scheduler will do, run ahead of it: its rules over counts of tokens, from event to event, at a pace.

An event is a step that computes prompts, or all steps in a row that only decode, until a sequence ends, gives its
memory up or another one comes. What happens between two events follows from sums: the cost is that of the events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from attendant.core.pace import Pace
from attendant.engine.foreseen_queue import Queue
from attendant.engine.foreseen_rows import Rows
from attendant.engine.step_rules import NEVER, Course, StepRules, Traffic

SPARE_EVENTS = 2_000
"""Events beyond a few for each sequence that was added, after which nothing more is foreseen."""


class Foresight:
    """One engine's future, second by second from now on.

    Args:
        courses: of its sequences, in the queue's order; those that are placed first.

    Attributes:
        now_s: how far it has been run.
        first_s, end_s: when each sequence gets its next token, and its last; by its number in order of its coming.
            ``NEVER``: not yet known, or it is ended before.
    """

    __slots__ = (
        "_arrival_s",
        "_courses",
        "_events",
        "_fresh",
        "_most_events",
        "_pace",
        "_pending",
        "_queue",
        "_rows",
        "_rules",
        "_traffic",
        "end_s",
        "first_s",
        "now_s",
    )

    def __init__(self, rules: StepRules, pace: Pace, courses: Iterable[Course] = ()) -> None:
        self._rules, self._pace = rules, pace
        self._traffic: Traffic | None = None
        self._courses: list[Course] = []
        self._pending: set[int] = set()  # whose end somebody wants to know
        self._queue = Queue(rules)
        self._rows = Rows(rules)
        self._fresh: list[int] = []  # decode for the first time in the next decode step
        self._events = 0
        self._most_events = SPARE_EVENTS
        self._arrival_s = NEVER
        self.now_s = 0.0
        self.first_s: list[float] = []
        self.end_s: list[float] = []
        for course in courses:
            self.add(course)

    def copy(self) -> Foresight:
        """Another future that begins as this one."""
        other = Foresight.__new__(Foresight)
        for name in Foresight.__slots__:
            value = getattr(self, name)
            setattr(other, name, value.copy() if isinstance(value, list | set | Queue | Rows) else value)
        return other

    def add(self, course: Course) -> int:
        """A sequence comes now, the last in order, or is there. Returns its number."""
        number = self._append(course)
        self._pending.add(number)
        self._most_events += 8
        return number

    def expect(self, traffic: Traffic) -> None:
        """Others come besides, from the start on; they are behind all that is there."""
        self._traffic, self._arrival_s = traffic, traffic.interval_s

    def run_to(self, seconds: float) -> None:
        """Go on until the first event after so many seconds, or until nothing is left."""
        while self.now_s < seconds and self._advance(seconds):
            pass

    def run_step(self) -> None:
        """One event."""
        self._advance()

    def run_to_first(self, number: int) -> None:
        """Go on until a sequence has its next token, or nothing is left."""
        while self.first_s[number] == NEVER and self._advance():
            pass

    def run_until_all_decode(self) -> None:
        """Go on until nobody waits, and every prompt is computed."""
        while self._queue and self._advance():
            pass

    def run(self) -> None:
        """Go on until the end of every sequence that was added is known."""
        while self._pending and self._advance():
            pass

    def _append(self, course: Course) -> int:
        number = len(self._courses)
        self._courses.append(course)
        self.first_s.append(NEVER)
        self.end_s.append(NEVER)
        if not course.placed:
            self._queue.add(number, light=course.light)
            return number
        self._rows.place(course)
        if course.missing or course.fed:
            self._queue.begun.append((number, course.missing))
        else:
            self._begin_decoding(number, course.computed, course.answer)
        return number

    def _begin_decoding(self, number: int, context: int, steps: int) -> None:
        self._rows.begin(number, self._courses[number], context, steps)
        if self.first_s[number] == NEVER:
            self._fresh.append(number)

    def _ended(self, number: int) -> None:
        self.end_s[number] = self.now_s
        self._pending.discard(number)

    def _advance(self, until_s: float = NEVER) -> bool:
        """One event. False: nothing is left, or too much has happened."""
        self._events += 1
        if self._events > self._most_events:
            return False
        if self.now_s >= self._arrival_s and self._traffic is not None:
            if self._queue.num_waiting < self._rules.max_num_seqs:
                self._append(self._traffic.course)
            self._arrival_s += self._traffic.interval_s
        if self._queue and self._run_prompts():
            return True
        if self._rows.num_rows:
            self._decode(until_s)
            return True
        if self._queue.num_waiting:  # it can never have a place
            self._pending.discard(self._queue.drop_first())
            return True
        if self._arrival_s < NEVER and self._pending:
            self.now_s = max(self.now_s, self._arrival_s)
            return True
        return False

    # -- decodes

    def _decode(self, until_s: float) -> None:
        """All decode steps up to the next event."""
        pace, rows = self._pace, self._rows
        first_s = pace.decode_s(rows.num_rows, rows.context)
        steps = rows.steps_to_end
        limit_s = until_s if self._queue.num_waiting else min(until_s, self._arrival_s)
        if self._fresh or self._queue.spent:  # after a budget of prompts, decodes come once
            steps = 1
        elif limit_s < NEVER and steps > 1 and first_s > 0:
            steps = min(steps, max(1, math.ceil((limit_s - self.now_s) / first_s)))
        if rows.room < rows.num_rows * steps:
            if rows.room < rows.num_rows < rows.num_placed + rows.num_rows - 1:
                self._give_way()
                return
            steps = max(1, min(steps, rows.room // rows.num_rows))
        growth_s = pace.context * rows.num_rows  # that each step takes longer than the one before
        self.now_s += steps * first_s + growth_s * (steps * (steps - 1) // 2)
        self._after_decodes(steps)

    def _after_decodes(self, steps: int) -> None:
        self._queue.spent = 0
        for number in self._fresh:
            self.first_s[number] = self.now_s
        self._fresh.clear()
        for number in self._rows.advance(steps):
            self._ended(number)

    def _give_way(self) -> None:
        """The last in order loses its memory, and computes its tokens again when there is room."""
        number = max([self._rows.last(), *[number for number, _ in self._queue.begun]])
        course = self._courses[number]
        if self._queue.gives_up(number):
            self._rows.unplace(course)
            course = course._replace(missing=course.missing + course.computed, computed=0, placed=False)
        else:
            context, left = self._rows.give_up(number)
            if number in self._fresh:
                self._fresh.remove(number)
            generated = course.generated + course.answer - left
            prompt = max(context - generated, 0)
            course = course._replace(missing=prompt, computed=0, answer=left, generated=generated, placed=False)
        self._courses[number] = course
        self._queue.add_first(number)

    # -- prompts

    def _run_prompts(self) -> bool:
        """A step that computes prompts, with the decodes if they may be in it. False: there is nothing to compute."""
        pace, rules, rows = self._pace, self._rules, self._rows
        taken = self._queue.choose(self._courses, rows, pace, self.now_s)
        self._pending.difference_update(taken.dropped)
        if not taken:
            return False
        self.now_s += pace.step + pace.prompt_token * taken.tokens + pace.attended * taken.attended
        self.now_s += pace.fed_token * taken.fed + (pace.prompts if taken.computes else 0.0)
        apart = (rules.prompts_apart or taken.has_light) and taken.computes
        for number, context, steps in taken.decoding:
            self._begin_decoding(number, context, steps)
        if apart:
            self._queue.spent += taken.spent
        elif rows.num_rows:
            self.now_s += pace.row * rows.num_rows + pace.context * rows.context
            self._after_decodes(1)
        for number in taken.done:
            self._has_first(number)
        return True

    def _has_first(self, number: int) -> None:
        """The prompt is computed, and with it the first token."""
        course = self._courses[number]
        if self.first_s[number] == NEVER:
            self.first_s[number] = self.now_s
        context, steps = course.computed + course.missing, course.answer - 1
        if self._rules.recomputes_in_rows:
            steps += course.generated  # they come again in decode rows
        else:
            context += course.generated
        if steps > 0:
            self._begin_decoding(number, context, steps)
        else:
            self._rows.unplace(course)
            self._ended(number)
