"""How long prompts and answers are."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attendant_loadtest.schedule.planned import BadSchedule

ALLOWED = "N, LOW-HIGH, lognormal:MEAN,CV or lognormal:MEAN,CV,MOST, or empirical:FILE with one number a line"


class Lengths(ABC):
    """A distribution of whole numbers, at least 1."""

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """So many of them, in tokens."""


@dataclass(frozen=True, slots=True)
class Fixed(Lengths):
    """Always the same."""

    tokens: int

    def __str__(self) -> str:
        return str(self.tokens)

    def __post_init__(self) -> None:
        _at_least_one(self.tokens)

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """See Lengths."""
        return [self.tokens] * count


@dataclass(frozen=True, slots=True)
class Uniform(Lengths):
    """Every length from ``low`` to ``high`` as often as the others."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    def __post_init__(self) -> None:
        _at_least_one(self.low)
        if self.high < self.low:
            raise BadSchedule(f"lengths are {self.low}-{self.high}; allowed: the lower one first")

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """See Lengths."""
        return [int(each) for each in rng.integers(self.low, self.high + 1, count)]


@dataclass(frozen=True, slots=True)
class Lognormal(Lengths):
    """Many short and some very long ones.

    Attributes:
        mean: in tokens.
        cv: standard deviation by the mean.
        most: what would be longer is drawn again, so that the mean is somewhat less; None: nothing is too long.
    """

    mean: float
    cv: float
    most: int | None = None

    def __str__(self) -> str:
        return f"lognormal:{self.mean:g},{self.cv:g}" + (f",{self.most}" if self.most is not None else "")

    def __post_init__(self) -> None:
        _at_least_one(self.mean)
        if not 0 < self.cv < math.inf:
            raise BadSchedule(f"a coefficient of variation is {self.cv:g}; allowed: greater than 0")
        if self.most is not None and self.most < self.mean:
            raise BadSchedule(f"at most {self.most} tokens with a mean of {self.mean:g}; allowed: the mean or more")

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """See Lengths."""
        variance = math.log(1 + self.cv**2)
        kept: list[int] = []
        while len(kept) < count:
            drawn = rng.lognormal(math.log(self.mean) - variance / 2, math.sqrt(variance), count - len(kept))
            sizes = (max(1, round(each)) for each in drawn.tolist())
            kept += [size for size in sizes if self.most is None or size <= self.most]
        return kept


@dataclass(frozen=True, slots=True)
class Empirical(Lengths):
    """Lengths that were seen somewhere, each as often as it was seen."""

    seen: tuple[int, ...]

    def __str__(self) -> str:
        return f"empirical:{len(self.seen)} lengths"

    def __post_init__(self) -> None:
        if not self.seen:
            raise BadSchedule("no lengths were seen; allowed: one at least")
        for each in self.seen:
            _at_least_one(each)

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """See Lengths."""
        return [self.seen[each] for each in rng.integers(0, len(self.seen), count)]


def lengths_of(text: str) -> Lengths:
    """What a user calls a distribution: see :data:`ALLOWED`.

    Raises:
        BadSchedule
    """
    kind, _, rest = text.partition(":")
    try:
        if kind == "lognormal":
            mean, cv, *most = rest.split(",")
            (limit,) = most or ("",)
            return Lognormal(float(mean), float(cv), int(limit) if limit else None)
        if kind == "empirical":
            return Empirical(_numbers(Path(rest)))
        low, dash, high = text.partition("-")
        return Uniform(int(low), int(high)) if dash else Fixed(int(low))
    except BadSchedule:
        raise
    except OSError as error:
        raise BadSchedule(f"{rest}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise BadSchedule(f"lengths are {text!r}; allowed: {ALLOWED}") from None


def _numbers(path: Path) -> tuple[int, ...]:
    values: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                values.append(int(line))
            except ValueError:
                raise BadSchedule(f"{path}:{number} is {json.dumps(line)}; allowed: a whole number of tokens") from None
    return tuple(values)


def _at_least_one(tokens: float) -> None:
    if not 1 <= tokens < math.inf:
        raise BadSchedule(f"a length is {tokens:g}; allowed: 1 or more tokens")
