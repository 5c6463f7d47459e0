"""What one rendering of a template may take: processor time, and characters. Counted while it runs, since a thread
cannot be ended from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jinja2

FREE_CHARACTERS = 2**22
"""Of a value that a template makes, whatever it was given."""

MOST_SHARE = 8
"""Characters of a value for each that the template was given, beside the free ones."""

MOST_VALUES = 16
"""Largest values that all values of a rendering may have together."""

FREE_S, CHARACTERS_PER_S = 1.0, 2**20
"""Seconds of processor time for any rendering, and the characters given that bring another one."""

_PER_VALUE = 8  # characters that a value stands for beside its text
_LOOK_AFTER = 64  # steps, after which the clock is looked at
_STEP = 2**14  # characters whose making is a step

Containers: tuple[type[Any], ...] = (
    list,
    tuple,
    dict,
    set,
    frozenset,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)


class TooMuch(jinja2.TemplateRuntimeError):
    """A template takes more than it may; says of what."""


@dataclass(slots=True)
class Budget:
    """Of one rendering.

    Args:
        given: characters that the template is given.
    """

    given: int
    steps: int = 0
    made: int = 0
    look_at: int = _LOOK_AFTER
    most: int = 0
    until_s: float = 0.0
    weights: dict[int, tuple[Any, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.most = FREE_CHARACTERS + MOST_SHARE * self.given
        self.until_s = time.thread_time() + FREE_S + self.given / CHARACTERS_PER_S

    def step(self, count: int = 1) -> bool:
        """So many steps were done; one is at most what a comparison takes. Returns True. Raises TooMuch."""
        self.steps += count
        if self.steps >= self.look_at:
            self.look_at = self.steps + _LOOK_AFTER
            if time.thread_time() > self.until_s:
                raise TooMuch("it takes too much processor time")
        return True

    def room(self, characters: int) -> None:
        """See that a value may have so many characters. Raises TooMuch."""
        if characters > self.most:
            raise TooMuch(f"it makes a value of {characters} characters; allowed: at most {self.most}")

    def count(self, value: Any) -> Any:
        """A value that was made, as it is. Raises TooMuch."""
        if isinstance(value, str):
            self.room(len(value))
            self._add(len(value))
        elif isinstance(value, Containers):
            self.weigh(value)
            self._add(2 * _PER_VALUE * len(value))
        return value

    def weigh(self, value: Any) -> int:
        """Characters that a value would have if it were written. One that has another value twice has it twice: so
        lists of lists of lists are found out before somebody walks through them. Raises TooMuch."""
        if not isinstance(value, Containers):
            return len(value) if isinstance(value, str) else _PER_VALUE
        known = self.weights.get(id(value))
        if known is not None:
            return known[1]
        left: list[Any] = [value]
        total = 0
        while left:
            each = left.pop()
            total += _PER_VALUE
            if isinstance(each, str):
                total += len(each)
            elif isinstance(each, Containers):
                found = self.weights.get(id(each))
                if found is not None:
                    total += found[1]
                elif isinstance(each, Mapping):
                    left += each.keys()
                    left += each.values()
                else:
                    left += each
            if total > self.most:
                self.room(total)
        self.step(len(self.weights) and total // _STEP)
        self.weights[id(value)] = value, total  # kept, so that nothing else gets its id
        return total

    def _add(self, characters: int) -> None:
        self.made += characters
        self.step(1 + characters // _STEP)
        if self.made > MOST_VALUES * self.most:
            raise TooMuch(f"it makes {self.made} characters on its way; allowed: at most {MOST_VALUES * self.most}")


class Budgets(threading.local):
    """The budget of the rendering that a thread does."""

    now: Budget | None = None

    @contextmanager
    def of(self, given: Mapping[str, Any]) -> Iterator[Budget]:
        """A budget for a template that is given this."""
        before, budget = self.now, Budget(0)
        budget.most = 2**62
        size = sum([_weigh_each(budget, value) for value in given.values()])
        self.now = Budget(size, weights=budget.weights)
        try:
            yield self.now
        finally:
            self.now = before


def _weigh_each(budget: Budget, value: Any) -> int:
    """Weighs the values of a list first: of messages and tools, lists are made anew."""
    if isinstance(value, list):
        for each in value:
            budget.weigh(each)
    return budget.weigh(value)
