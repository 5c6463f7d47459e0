"""How long answers of a model become, as its latest ones were: what is still to come of one, on average and at most."""

from __future__ import annotations

import bisect
import itertools

FORGETS = 0.99
"""What an earlier answer weighs when one more has ended: some hundred answers count."""

BOUNDS = (0, *sorted({max(1, round(2 ** (power / 2))) for power in range(42)}))
"""Lengths at which the chance to end may change, in tokens."""


class AnswerLengths:
    """Learns from answers when they end by themselves (Kaplan and Meier's estimate, in intervals that grow). Those cut
    by their limit, or given up, say that they would have been longer. While nothing is known, answers do not end."""

    def __init__(self) -> None:
        num = len(BOUNDS) - 1
        self._entered = [0.0] * num  # answers that got as far as the interval
        self._ended = [0.0] * num  # of those, that ended in it by themselves
        self._survival = [1.0] * len(BOUNDS)  # share of answers that are longer than each bound
        self._area = list(itertools.accumulate(_widths(), initial=0.0))  # of the survival, from 0 to each bound
        self._stale = False

    def took(self, num_tokens: int, *, ended: bool) -> None:
        """An answer had so many tokens. ``ended``: by itself, not by a limit or its caller."""
        if num_tokens < 1:
            return
        last = min(bisect.bisect_left(BOUNDS, num_tokens) - 1, len(self._ended) - 1)
        self._entered = [FORGETS * count + (1.0 if i <= last else 0.0) for i, count in enumerate(self._entered)]
        self._ended = [FORGETS * count + (1.0 if ended and i == last else 0.0) for i, count in enumerate(self._ended)]
        self._stale = True

    def expected(self, had: int, limit: int) -> int:
        """Tokens that are still to come on average, at least one, of an answer that has ``had`` tokens and gets
        ``limit`` at most."""
        self._update()
        left = limit - had
        share = self._share_beyond(had)
        if share <= 0 or left <= 1:
            return max(left, 1)
        mean = (self._area_to(limit) - self._area_to(had)) / share
        return min(max(round(mean), 1), left)

    def at_most(self, limit: int, confidence: float) -> int:
        """Tokens that an answer has at most with this confidence, if it gets ``limit``."""
        self._update()
        beyond = 1 - confidence
        if self._share_beyond(limit) > beyond:
            return limit
        i = next(i for i, share in enumerate(self._survival) if share <= beyond)
        high, low = self._survival[i - 1], self._survival[i]
        part = (high - beyond) / (high - low) if high > low else 1.0
        return max(1, min(limit, round(BOUNDS[i - 1] + part * (BOUNDS[i] - BOUNDS[i - 1]))))

    def _update(self) -> None:
        if not self._stale:
            return
        self._stale = False
        share, survival = 1.0, [1.0]
        for entered, ended in zip(self._entered, self._ended, strict=True):
            if entered > 0:
                share *= 1 - ended / entered
            survival.append(share)
        self._survival = survival
        pairs = itertools.pairwise(survival)
        pieces = [width * (a + b) / 2 for width, (a, b) in zip(_widths(), pairs, strict=True)]
        self._area = list(itertools.accumulate(pieces, initial=0.0))

    def _share_beyond(self, num_tokens: int) -> float:
        i, part = _place(num_tokens)
        return self._survival[i] + part * (self._survival[i + 1] - self._survival[i])

    def _area_to(self, num_tokens: int) -> float:
        i, part = _place(num_tokens)
        width = part * (BOUNDS[i + 1] - BOUNDS[i])
        return self._area[i] + width * (self._survival[i] + self._share_beyond(num_tokens)) / 2


def _widths() -> list[int]:
    return [b - a for a, b in itertools.pairwise(BOUNDS)]


def _place(num_tokens: int) -> tuple[int, float]:
    """The interval that so many tokens fall into, and how far into it."""
    i = min(max(bisect.bisect_right(BOUNDS, num_tokens) - 1, 0), len(BOUNDS) - 2)
    return i, min((num_tokens - BOUNDS[i]) / (BOUNDS[i + 1] - BOUNDS[i]), 1.0)
