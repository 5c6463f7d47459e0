"""Bisection over runs at one rate each."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

LEAST_PER_S = 0.01
"""A server that misses the objective at this rate meets it at none."""
FACTOR = 2.0
"""From one rate to the next, until both a rate that meets the objective and one that misses it are known."""

MOST_LOST = 2
"""Runs that missed the objective and tell nothing, as the client was late, are made again so often."""


class Outcome(Protocol):
    """What a run at one rate has to tell."""

    @property
    def met(self) -> bool:
        """It was fast enough."""

    @property
    def tells(self) -> bool:
        """If it was not, that was the server."""


@dataclass(slots=True)
class Search:
    """What is known after some runs.

    Attributes:
        resolution: the search ends when the lowest rate that misses is at most so many times the highest that meets.
        most_s: seconds that it may take. No run begins that would end after them.
        takes_s: seconds that a run at a rate takes at most.
        clock: seconds so far.
        met_per_s: the highest rate that met the objective, twice. missed_per_s: the lowest that did not.
        why: the search ended without finding both as near to each other as was wanted; empty: it found them.
    """

    resolution: float
    most_s: float
    takes_s: Callable[[float], float]
    clock: Callable[[], float]
    met_per_s: float = 0.0
    missed_per_s: float = math.inf
    why: str = ""
    tried: list[float] = field(default_factory=list)
    _passed: list[float] = field(default_factory=list)
    _confirmed: set[float] = field(default_factory=set)

    async def run(self, measure: Callable[[float, int], Awaitable[Outcome]], first_per_s: float) -> None:
        """Look for the rate, beginning at ``first_per_s``.

        Args:
            measure: runs at a rate; the second argument tells the first time that a rate is tried (0) from later ones,
                which ask something else.
        """
        rate: float | None = first_per_s
        lost = 0
        while rate is not None:
            again = rate == self.met_per_s
            if self.clock() + self.takes_s(rate) > self.most_s:
                self.why = f"{self.most_s:.0f} s were over"
                return
            outcome = await measure(rate, int(again))
            self.tried.append(rate)
            if not outcome.met and not outcome.tells:
                lost += 1
                if lost > MOST_LOST:
                    self.why = f"the client was late itself at {rate:.3g} requests/s"
                    return
                continue
            self._note(rate, met=outcome.met, again=again)
            rate = self._next()

    def _note(self, rate: float, *, met: bool, again: bool) -> None:
        if not met:
            self.missed_per_s = min(self.missed_per_s, rate)
            if again:
                self.met_per_s = max((each for each in self._passed if each < rate), default=0.0)
        elif rate < self.missed_per_s:
            if again:
                self._confirmed.add(rate)
            self.met_per_s = rate
            self._passed.append(rate)

    def _next(self) -> float | None:
        if self.missed_per_s == math.inf:
            return self.met_per_s * FACTOR
        if self.met_per_s == 0.0:
            if self.missed_per_s <= LEAST_PER_S:
                self.why = f"it is missed at {self.missed_per_s:.3g} requests/s, too"
                return None
            return self.missed_per_s / FACTOR
        if self.missed_per_s > self.met_per_s * self.resolution:
            return math.sqrt(self.met_per_s * self.missed_per_s)
        return None if self.met_per_s in self._confirmed else self.met_per_s
