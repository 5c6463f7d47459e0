"""Figures of two models' answers, without any server: agreement, overlap, ranks, medians and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles

import numpy as np

from attendant.client.replay.differences import first_difference


@dataclass(frozen=True, slots=True)
class Spread:
    """Some measurements: the middle one, and the quarters below and above which a quarter of them lies."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of no values."""
        if not values:
            return None
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the answers of two models to the same prompts agree.

    Attributes:
        exact: share of prompts with equal texts.
        overlap: mean F1 of the answers' words, as :func:`word_f1` has it.
        first_word: median index of the first word that differs, of answers that differ; None if none does.
    """

    exact: float
    overlap: float
    first_word: float | None

    @classmethod
    def of(cls, answers: Sequence[tuple[str, str]]) -> Agreement:
        """Of pairs of answers, at least one."""
        found = (first_difference(one.split(), other.split()) for one, other in answers)
        places = [place for place in found if place is not None]
        return cls(
            mean(one == other for one, other in answers),
            mean(word_f1(one, other) for one, other in answers),
            median(places) if places else None,
        )


def word_f1(one: str, other: str) -> float:
    """F1 of the words of two texts, each counted as often as it occurs (Rajpurkar et al. 2016, without their
    normalisation): 1 for the same words in any order, 0 for none in common."""
    first, second = Counter(one.split()), Counter(other.split())
    if not first or not second:
        return float(first == second)
    common = (first & second).total()
    return 2 * common / (first.total() + second.total())


def accuracy(found: Sequence[str], right: Sequence[str]) -> float:
    """Share of equal labels."""
    return mean(one == other for one, other in zip(found, right, strict=True))


def macro_f1(found: Sequence[str], right: Sequence[str]) -> float:
    """Mean over the labels that occur, on either side, of their F1."""
    scores = []
    for label in {*found, *right}:
        hits = sum(one == other == label for one, other in zip(found, right, strict=True))
        scores.append(2 * hits / (found.count(label) + right.count(label)))
    return mean(scores)


def rank_agreement(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation; equal values share the mean of their ranks. None where one side does not vary."""
    first, second = _ranks(one), _ranks(other)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-12))


def cost_per_1000(seconds_per_request: float, price_per_hour: float) -> float:
    """What 1,000 requests cost on a machine that does nothing else: its price for the time that they take."""
    return 1000 * seconds_per_request * price_per_hour / 3600


def _ranks(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, np.float64)  # [n]
    _, index, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2)[index]
    return ranks
