"""How much later than foreseen things come at worst, as the latest ones did: what a promise leaves room for."""

from __future__ import annotations

from collections import deque

WINDOW = 200
"""Latest promises that count."""

BROKEN = 0.01
"""Share of promises that may be broken."""

AT_FIRST = 0.05
"""Margin while few promises have come due."""

ENOUGH = 32
"""Promises that say more than that."""

MOST = 1.0


class Margin:
    """A share of the time foreseen that is left as room, so that all but ``BROKEN`` of the latest promises hold."""

    def __init__(self) -> None:
        self._errors: deque[float] = deque(maxlen=WINDOW)
        self._value = AT_FIRST

    @property
    def value(self) -> float:
        """What it is now; 0.05 is five hundredths of the time foreseen."""
        return self._value

    def took(self, foreseen_s: float, actual_s: float) -> None:
        """Something came ``actual_s`` seconds after it was asked for."""
        if foreseen_s <= 0:
            return
        self._errors.append(actual_s / foreseen_s - 1)
        if len(self._errors) < ENOUGH:
            return
        worst = sorted(self._errors)[-1 - int(BROKEN * len(self._errors))]
        self._value = min(max(worst, 0.0), MOST)
