"""The sequences that have a place, in thought: rows that decode until a known step, and their memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from attendant.engine.step_rules import Course, StepRules


class Rows:
    """Rows that advance by a token in each decode step.

    Attributes:
        num_rows: rows that decode. context: positions that they attend to in all.
        num_placed: places taken. used: positions of KV memory that are taken, about.
        step: decode steps so far.
    """

    __slots__ = ("_decoding", "_ends", "_rules", "context", "num_placed", "num_rows", "step", "used")

    def __init__(self, rules: StepRules) -> None:
        self._rules = rules
        self._ends: list[tuple[int, int]] = []  # a heap: the step after which a sequence has ended, its number
        self._decoding: dict[int, tuple[int, int, int]] = {}  # number -> rows, step and context that it began with
        self.num_rows = self.context = self.num_placed = self.used = self.step = 0

    def copy(self) -> Rows:
        """The same."""
        other = Rows.__new__(Rows)
        other._rules, other._ends, other._decoding = self._rules, self._ends.copy(), self._decoding.copy()
        other.num_rows, other.context, other.num_placed = self.num_rows, self.context, self.num_placed
        other.used, other.step = self.used, self.step
        return other

    def has_room(self, course: Course) -> bool:
        """Whether a sequence can have a place now."""
        rules = self._rules
        if not self.num_placed:
            return course.rows <= rules.max_num_seqs
        if self.num_placed + course.rows > rules.max_num_seqs + (rules.spare_seqs if course.light else 0):
            return False
        need = self._need(course) + self.num_placed * rules.page_tokens
        return self.used + need <= rules.kv_tokens

    def place(self, course: Course) -> None:
        """A sequence gets a place."""
        self.num_placed += course.rows
        self.used += self._need(course)

    def unplace(self, course: Course) -> None:
        """It loses it before it has decoded."""
        self.num_placed -= course.rows
        self.used -= self._need(course)

    def _need(self, course: Course) -> int:
        return course.rows * self._rules.pages(course.computed + course.missing + course.generated)

    def begin(self, number: int, course: Course, context: int, steps: int) -> None:
        """A sequence that has a place decodes from the next step on, ``steps`` times."""
        rows = course.rows
        self.used += rows * self._rules.pages(context) - self._need(course)
        self._decoding[number] = rows, self.step, context
        heapq.heappush(self._ends, (self.step + steps, number))
        self.num_rows += rows
        self.context += rows * context

    @property
    def steps_to_end(self) -> int:
        """Steps until the next of them ends; there is one."""
        return self._ends[0][0] - self.step

    @property
    def room(self) -> int:
        """Positions of memory that are left."""
        return self._rules.kv_tokens - self.used

    def advance(self, steps: int) -> Iterator[int]:
        """All decode so many times, up to the next end; yields the numbers of those that have ended."""
        self.step += steps
        self.context += steps * self.num_rows
        self.used += steps * self.num_rows
        while self._ends and self._ends[0][0] <= self.step:
            _, number = heapq.heappop(self._ends)
            self._leave(number)
            yield number
        # what pages leave unused is not followed step by step
        self.used = max(self.used, self.context + self.num_rows) if self.num_placed else 0

    def last(self) -> int:
        """The number of the last in order that decodes; -1: there is none."""
        return max(self._decoding, default=-1)

    def give_up(self, number: int) -> tuple[int, int]:
        """A sequence loses its place; returns the context that it had and the steps that it has left."""
        ends = next(end for end, other in self._ends if other == number)
        self._ends.remove((ends, number))
        heapq.heapify(self._ends)
        return self._leave(number), ends - self.step

    def _leave(self, number: int) -> int:
        rows, step, context = self._decoding.pop(number)
        self.used -= rows * (self._rules.pages(context) + self.step - step)  # what it was given, and each token since
        context += self.step - step
        self.num_rows -= rows
        self.context -= rows * context
        self.num_placed -= rows
        return context
