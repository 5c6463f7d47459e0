"""Scales and ticks of a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 112, 14, 44


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels.

    Attributes:
        log: equal factors have equal lengths; values have to be greater than 0.
    """

    low: float
    high: float
    first_px: float
    last_px: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value is; those beyond an end are at it."""
        low, high, at = (math.log(each) if self.log else each for each in (self.low, self.high, max(value, self.low)))
        share = min(1.0, (at - low) / (high - low)) if high > low else 0.0
        return self.first_px + share * (self.last_px - self.first_px)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        return _decades(self.low, self.high) if self.log else _steps(self.low, self.high)


def across(low: float, high: float) -> Scale:
    """From left to right."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def upwards(values: Sequence[float], *, log: bool) -> Scale:
    """From the bottom up, with some room above; from 0 on if not ``log``."""
    if log:
        positive = [value for value in values if value > 0] or [1.0]
        return Scale(min(positive) / 1.3, max(positive) * 1.3, HEIGHT - BOTTOM, TOP, log=True)
    return Scale(0.0, 1.1 * max(values, default=1.0) or 1.0, HEIGHT - BOTTOM, TOP)


def number(value: float) -> str:
    """A tick's text: no more digits than it needs."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    found = [tick for tick in every if low <= tick <= high]
    return found if len(found) <= 7 else [tick for tick in found if math.log10(tick) % 1 < 1e-9] or found[:7]


def _steps(low: float, high: float) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
