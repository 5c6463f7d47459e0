"""When requests come, whatever becomes of those before them."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from attendant_loadtest.schedule.planned import BadSchedule, random_of

_BLOCK = 256


class Arrivals(ABC):
    """A process of arrivals."""

    @abstractmethod
    def times(self, seconds: float, seed: int) -> list[float]:
        """Moments from 0 up to but not including ``seconds``, in order. The same seed gives the same."""


@dataclass(frozen=True, slots=True)
class Constant(Arrivals):
    """One every ``1 / per_s`` seconds, the first at 0."""

    per_s: float

    def __post_init__(self) -> None:
        _positive("a rate", self.per_s)

    def times(self, seconds: float, seed: int) -> list[float]:
        """See Arrivals."""
        every = np.arange(np.ceil(seconds * self.per_s) + 1) / self.per_s
        return [at for at in every.tolist() if at < seconds]


@dataclass(frozen=True, slots=True)
class Bursty(Arrivals):
    """Gaps that are gamma distributed: a mean of ``1 / per_s`` seconds, and a coefficient of variation.

    Attributes:
        per_s: requests a second on average, from the first second on: the process has always been there.
        cv: standard deviation of a gap by its mean. 1 is a Poisson process; more comes in bursts, less in step.
    """

    per_s: float
    cv: float

    def __post_init__(self) -> None:
        _positive("a rate", self.per_s)
        _positive("a coefficient of variation", self.cv)

    def times(self, seconds: float, seed: int) -> list[float]:
        """See Arrivals."""
        rng = random_of(seed, "arrivals")
        shape, scale = 1 / self.cv**2, self.cv**2 / self.per_s
        # Who looks at a process that has always been there looks into a gap, the sooner the longer it is.
        first = float(rng.uniform() * rng.gamma(shape + 1, scale))
        return list(_until(seconds, first, lambda: rng.gamma(shape, scale, _BLOCK)))


@dataclass(frozen=True, slots=True)
class Poisson(Arrivals):
    """Requests that know nothing of each other: ``per_s`` a second on average."""

    per_s: float

    def __post_init__(self) -> None:
        _positive("a rate", self.per_s)

    def times(self, seconds: float, seed: int) -> list[float]:
        """See Arrivals."""
        rng = random_of(seed, "arrivals")
        return list(_until(seconds, rng.exponential(1 / self.per_s), lambda: rng.exponential(1 / self.per_s, _BLOCK)))


@dataclass(frozen=True, slots=True)
class Ramp(Arrivals):
    """A Poisson process whose rate goes evenly from ``first_per_s`` at the beginning to ``last_per_s`` at the end."""

    first_per_s: float
    last_per_s: float

    def __post_init__(self) -> None:
        rates = (self.first_per_s, self.last_per_s)
        if not all(0 <= rate < float("inf") for rate in rates) or not any(rates):
            raise BadSchedule(
                f"a ramp goes from {self.first_per_s:g} to {self.last_per_s:g} a second; "
                "allowed: 0 or more, and one of them greater than 0"
            )

    def times(self, seconds: float, seed: int) -> list[float]:
        """See Arrivals. Moments of a process of rate 1, moved to where so much of this one is expected."""
        rng = random_of(seed, "arrivals")
        expected = (self.first_per_s + self.last_per_s) / 2 * seconds
        steps = _until(expected, rng.exponential(), lambda: rng.exponential(1.0, _BLOCK))
        slope = (self.last_per_s - self.first_per_s) / seconds
        # at: first t + slope t^2 / 2 = step, in the form that divides by nothing that becomes 0
        moments = (2 * step / (self.first_per_s + (self.first_per_s**2 + 2 * slope * step) ** 0.5) for step in steps)
        return [at for at in moments if at < seconds]


def arrivals_of(text: str) -> Callable[[float], Arrivals]:
    """What a user calls a process: ``poisson``, ``constant`` or ``bursty:CV``; gives one of so many a second.

    Raises:
        BadSchedule
    """
    kind, _, rest = text.partition(":")
    if kind == "bursty" and rest:
        try:
            cv = float(rest)
        except ValueError:
            raise BadSchedule(f"bursty:{rest} has no number after it; allowed: bursty:CV, as bursty:2") from None
        _positive("a coefficient of variation", cv)
        return lambda per_s: Bursty(per_s, cv)
    if not rest and kind in {"poisson", "constant"}:
        return Poisson if kind == "poisson" else Constant
    raise BadSchedule(f"arrivals are {text!r}; allowed: poisson, constant, bursty:CV")


def _until(end: float, first: float, more: Callable[[], np.ndarray]) -> Iterator[float]:
    """Moments before ``end``: the first, and others after gaps, of which ``more`` gives some each time."""
    gaps = (gap for _ in itertools.count() for gap in more().tolist())
    at = first
    while at < end:
        yield at
        at += next(gaps)


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise BadSchedule(f"{name} is {value:g}; allowed: greater than 0")
