"""How evenly those got something who all wanted more of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

WINDOW_NS = 10_000_000_000
"""Nanoseconds over which it is looked at."""


def jains_index(served: Sequence[float]) -> float:
    """Jain's index of fairness, (sum x)^2 / (n sum x^2): 1 if all had the same, 1/n if one had all."""
    squares = len(served) * sum(had * had for had in served)
    return sum(served) ** 2 / squares if squares else 1.0


class Evenness:
    """Jain's index of what those got who waited all the time, window after window."""

    def __init__(self) -> None:
        self._began_ns = 0
        self._waited: set[str] = set()  # since the window began
        self._had: Counter[str] = Counter()

    def take(self, waiting: Collection[str], had: Sequence[tuple[str, int]], now_ns: int) -> float | None:
        """A step is over.

        Args:
            waiting: tenants that wait after it. had: what tenants got of it.

        Returns:
            The index of the window that has ended, if one has; 1 if no two waited through it.
        """
        if not self._began_ns:
            self._begin(waiting, now_ns)
            return None
        if self._waited:
            self._waited.intersection_update(waiting)
            for tenant, amount in had:
                self._had[tenant] += amount
        if now_ns - self._began_ns < WINDOW_NS:
            return None
        index = jains_index([self._had[tenant] for tenant in self._waited])
        self._begin(waiting, now_ns)
        return index

    def _begin(self, waiting: Collection[str], now_ns: int) -> None:
        self._began_ns, self._waited = now_ns, set(waiting)
        self._had.clear()
