"""The sequences that wait or have a prompt to compute, in thought, and which of them are in the next step."""

from __future__ import annotations

from collections import deque

from attendant.core.pace import Pace
from attendant.engine.foreseen_prompts import PromptsOfStep
from attendant.engine.foreseen_rows import Rows
from attendant.engine.step_rules import Course, StepRules, least_s


class Queue:
    """Numbers of sequences, in order; of those without a place, the ones of light tenants first.

    Attributes:
        begun: those that have a place: number, and tokens of the prompt that are missing.
        spent: tokens of prompts since the last decodes, which wait meanwhile.
    """

    __slots__ = ("_light", "_rules", "_waiting", "begun", "spent")

    def __init__(self, rules: StepRules) -> None:
        self._rules = rules
        self._light: deque[int] = deque()
        self._waiting: deque[int] = deque()
        self.begun: list[tuple[int, int]] = []
        self.spent = 0

    def __bool__(self) -> bool:
        return bool(self.begun or self._light or self._waiting)

    @property
    def num_waiting(self) -> int:
        """Those without a place."""
        return len(self._light) + len(self._waiting)

    def copy(self) -> Queue:
        """The same."""
        other = Queue(self._rules)
        other._light, other._waiting = self._light.copy(), self._waiting.copy()
        other.begun, other.spent = self.begun.copy(), self.spent
        return other

    def add(self, number: int, *, light: bool = False) -> None:
        """One waits, behind all others, or those of light tenants."""
        (self._light if light else self._waiting).append(number)

    def add_first(self, number: int) -> None:
        """One waits again, before all others."""
        self._waiting.appendleft(number)

    def drop_first(self) -> int:
        """Forget the first that waits; returns its number."""
        return (self._light or self._waiting).popleft()

    def gives_up(self, number: int) -> bool:
        """Whether it is one that has begun, which is forgotten."""
        before = len(self.begun)
        self.begun = [entry for entry in self.begun if entry[0] != number]
        return len(self.begun) < before

    def choose(self, courses: list[Course], rows: Rows, pace: Pace, now_s: float) -> PromptsOfStep:
        """Choose what the step computes of prompts, by the rules of ``Scheduler._take_prompts``; who is chosen has a
        place in ``rows``, and is fed."""
        if not rows.num_rows:
            self.spent = 0
        taken = PromptsOfStep(self._rules.max_num_batched_tokens - rows.num_rows - self.spent, self.spent > 0)
        num_waiting = len(self.begun) + self.num_waiting
        if self._light:
            self._place(taken, courses, rows, pace, now_s, only_light=True)
            num_waiting = len(self.begun) + self.num_waiting
        left: list[tuple[int, int]] = []
        stopped = False
        for number, missing in sorted(self.begun, key=lambda entry: not courses[entry[0]].light):
            course = courses[number]
            worth = not stopped and taken.is_worth_a_piece(missing, course.fed)
            stopped = stopped or (worth and not self._joins(taken, course, missing, num_waiting))
            if worth and not stopped:
                courses[number] = taken.compute(self._rules, number, course, missing)
            else:
                left.append((number, missing))
            num_waiting -= 1
        if not stopped:
            self._place(taken, courses, rows, pace, now_s)
        self.begun = [*left, *taken.unfinished]
        return taken

    def _place(
        self,
        taken: PromptsOfStep,
        courses: list[Course],
        rows: Rows,
        pace: Pace,
        now_s: float,
        *,
        only_light: bool = False,
    ) -> None:
        """Give places to those that wait, as far as there is room."""
        rules = self._rules
        while line := self._light or (None if only_light else self._waiting):
            number = line[0]
            course = courses[number]
            missing = course.missing + (0 if rules.recomputes_in_rows else course.generated)
            if not self._joins(taken, course, missing, self.num_waiting):
                return
            if course.ends_by_s < now_s + least_s(pace, course, rows.num_rows, rows.context):
                taken.dropped.append(self.drop_first())
                continue
            if not rows.has_room(course) or not taken.is_worth_a_piece(missing, course.fed):
                return
            line.popleft()
            rows.place(course)
            courses[number] = taken.compute(rules, number, course, missing)

    def _joins(self, taken: PromptsOfStep, course: Course, missing: int, num_waiting: int) -> bool:
        if not taken.keeps_short(self._rules, course, missing):
            return False
        return taken.fed > 0 or self._rules.joins(taken.num_prompts, missing, taken.budget, num_waiting)
