"""How much later than foreseen things come at worst, as the latest ones did: what a promise leaves room for."""

from __future__ import annotations

import math
import time
from bisect import bisect_left, insort
from collections import deque

from attendant.core.moments import Moments

BROKEN = 0.005
"""Share of promises that may be broken, as the latest ones say: half of the one in a hundred that is meant, since what
comes next is a little different."""

OLD_NS = 60_000_000_000
"""So long a promise counts, nanoseconds: what was loud then may be quiet by now. Much shorter than it takes until a
promise is seen to be broken, it must not be: else the margin goes up and down."""

MOST_ERRORS = 4096
"""Promises that count, at most."""

NEAR = 0.5
"""Share of the time allowed that a promise, or what came of it, takes at least to say anything: one that is far from
its limit would come in time with any margin."""

LEAST, MOST = 0.2, 0.5
"""A machine that others share, or that has more to refuse than a moment ago, is a quarter slower all at once, and what
was promised before that is late together. Room for it costs nothing: a queue that is a little shorter has as much work
in it, and as much is answered."""


class Margin:
    """A share of the time allowed that is left as room, so that all but ``BROKEN`` of promises hold: of how much later
    than foreseen the latest ones came, the quantile (split conformal prediction over a window that rolls on), and
    ``LEAST`` where that is less.

    Of the time allowed, not of that foreseen: what is foreseen to come long before its time may well come later.
    """

    def __init__(self, clock: Moments = time) -> None:
        self._clock = clock
        self._errors: deque[tuple[int, float]] = deque()  # when they were known, monotonic, and shares
        self._sorted: list[float] = []

    @property
    def value(self) -> float:
        """What it is now; 0.05 is five hundredths of the time allowed."""
        self._forget(self._clock.monotonic_ns())
        number = len(self._sorted)
        found = self._sorted[math.ceil(number * (1 - BROKEN)) - 1] if number else LEAST
        return min(max(found, LEAST), MOST)

    def took(self, foreseen_s: float, actual_s: float, allowed_s: float) -> None:
        """Something came ``actual_s`` seconds after it was asked for, which was allowed to take ``allowed_s``."""
        if allowed_s <= 0 or max(foreseen_s, actual_s) < NEAR * allowed_s:
            return
        error = (actual_s - foreseen_s) / allowed_s
        now_ns = self._clock.monotonic_ns()
        self._errors.append((now_ns, error))
        insort(self._sorted, error)
        self._forget(now_ns)

    def _forget(self, now_ns: int) -> None:
        while self._errors and (len(self._errors) > MOST_ERRORS or now_ns - self._errors[0][0] > OLD_NS):
            _, error = self._errors.popleft()
            del self._sorted[bisect_left(self._sorted, error)]
