"""How long runs take, by their load; learnt from those that ran lately."""

from __future__ import annotations

from collections import deque

SHARE = 0.2
"""What the latest run counts in the averages."""

NUM_LATEST = 8
"""Runs of about one load of which the fastest is known."""


class RunTimes:
    """Nanoseconds that a run takes at a load: that of a batch's tokens, say, or of how many share the processors.

    Runs whose loads lie between the same two powers of 2 are taken together, as moving averages of their loads and of
    their times. Between two averages time is a straight line, above the largest load it grows in proportion, and below
    the smallest it is what that takes: a run has costs that do not depend on its load.
    """

    def __init__(self) -> None:
        self._means: dict[int, _Mean] = {}  # by the load's binary digits

    def take(self, load: int, took_ns: int) -> None:
        """A run took so long."""
        digits = load.bit_length()
        if (mean := self._means.get(digits)) is None:
            self._means[digits] = _Mean(load, took_ns)
        else:
            mean.take(load, took_ns)

    def of(self, load: int) -> float | None:
        """About how long a run takes; None while nothing is known."""
        return self._at(load, [(mean.load, mean.took_ns) for mean in self._means.values()])

    def least(self, load: int) -> float | None:
        """How long it takes if it goes as well as it has gone lately; None while nothing is known."""
        return self._at(load, [(mean.load, float(min(mean.latest))) for mean in self._means.values()])

    def _at(self, load: int, known: list[tuple[float, float]]) -> float | None:
        known.sort()
        below = above = None
        for point in known:
            if point[0] <= load:
                below = point
            elif above is None:
                above = point
        if below is None:
            return above[1] if above is not None else None
        if above is None:
            return below[1] * load / below[0] if below[0] else below[1]
        share = (load - below[0]) / (above[0] - below[0])
        return below[1] + share * (above[1] - below[1])


class _Mean:
    """Moving averages of runs of about one load, and the times of the latest."""

    def __init__(self, load: int, took_ns: int) -> None:
        self.load, self.took_ns = float(load), float(took_ns)
        self.latest = deque([took_ns], maxlen=NUM_LATEST)

    def take(self, load: int, took_ns: int) -> None:
        self.load += SHARE * (load - self.load)
        self.took_ns += SHARE * (took_ns - self.took_ns)
        self.latest.append(took_ns)
