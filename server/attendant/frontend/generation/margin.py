"""How much later than foreseen things come at worst, as the latest ones did: what a promise leaves room for."""

from __future__ import annotations

BROKEN = 0.01
"""Share of promises that may be broken."""

STEP = 0.02
"""What one that came too late adds to the margin; each other one takes so much less away that it stays if as many come
too late as may (adaptive conformal inference: Gibbs and Candès, 2021)."""

AT_FIRST, MOST = 0.05, 0.5


class Margin:
    """A share of the time allowed that is left as room, so that all but ``BROKEN`` of promises hold. Of the time
    allowed, not of that foreseen: what is foreseen to come long before its time may well come later."""

    def __init__(self) -> None:
        self._value = AT_FIRST

    @property
    def value(self) -> float:
        """What it is now; 0.05 is five hundredths of the time allowed."""
        return self._value

    def took(self, foreseen_s: float, actual_s: float, allowed_s: float) -> None:
        """Something came ``actual_s`` seconds after it was asked for, which was allowed to take ``allowed_s``."""
        if allowed_s <= 0:
            return
        too_late = actual_s - foreseen_s > self._value * allowed_s
        change = STEP * (1 - BROKEN) if too_late else -STEP * BROKEN
        self._value = min(max(self._value + change, 0.0), MOST)
