"""How far log-probabilities are off, position by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from attendant_loadtest.gpu.kit import Floats


class Errors:
    """Collects, for each position, the largest error among the tokens that were most probable there."""

    TOP: ClassVar[int] = 64
    """Tokens of a position that are compared: as many as an engine reports."""

    def __init__(self) -> None:
        self._errors: list[float] = []
        self._spreads: list[float] = []

    def add(self, found: Mapping[int, float], wanted: Floats) -> None:
        """``found``: log-probabilities by token. ``wanted``: logits [vocab_size]."""
        reference = log_probabilities(wanted)
        self._errors.append(max(abs(value - float(reference[token])) for token, value in found.items()))
        self._spreads.append(float(wanted.std()))

    @property
    def positions(self) -> int:
        """How many were compared."""
        return len(self._errors)

    @property
    def largest(self) -> float:
        """Largest error."""
        return max(self._errors)

    @property
    def p90(self) -> float:
        """The error that nine positions in ten do not exceed."""
        return float(np.quantile(self._errors, 0.9))

    @property
    def spread(self) -> float:
        """Standard deviation of the logits of a position, on average: what an error is to be seen against."""
        return float(np.mean(self._spreads))


def log_probabilities(logits: Floats) -> Floats:
    """ln softmax of [vocab_size]."""
    wide = logits.astype(np.float64)
    peak = wide.max()
    found: Floats = wide - peak - np.log(np.exp(wide - peak).sum())
    return found
