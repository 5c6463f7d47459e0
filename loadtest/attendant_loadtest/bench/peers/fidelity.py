"""How far next-token distributions are from a reference's, on tokens that both were given (teacher-forced)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WINDOW = 512
"""Tokens of a text by itself."""

TOKENS = 4096
"""As many of a text are used, in whole windows."""

_AT_ONCE = 64  # positions, whose logits are float64 meanwhile


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Means over all positions.

    Attributes:
        nll: nats a token of the text itself.
        kl: KL(reference || this), nats a position, over the whole vocabulary.
        same: share of positions with the reference's most likely token.
    """

    nll: float
    kl: float
    same: float


class Tally:
    """Adds positions up to a :class:`Fidelity`, in float64."""

    def __init__(self) -> None:
        self._nll = self._kl = 0.0
        self._targets = self._positions = self._same = 0

    def add(self, reference: Array, logits: Array, following: Array) -> None:
        """Take positions over.

        Args:
            reference, logits: [n, vocab] float32.
            following: [n] ids of the text's next tokens; below 0 where there is none.
        """
        if reference.shape != logits.shape:
            raise ValueError(f"logits are {list(logits.shape)}, the reference's {list(reference.shape)}")
        for first in range(0, len(logits), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            self._add(_log_softmax(reference[part]), _log_softmax(logits[part]), following[part])

    def fidelity(self) -> Fidelity:
        """The means so far."""
        return Fidelity(self._nll / self._targets, self._kl / self._positions, self._same / self._positions)

    def _add(self, expected: Array, found: Array, following: Array) -> None:
        self._kl += float((np.exp(expected) * (expected - found)).sum())
        self._same += int((expected.argmax(1) == found.argmax(1)).sum())
        known = np.flatnonzero(following >= 0)
        self._nll -= float(found[known, following[known]].sum())
        self._targets += len(known)
        self._positions += len(found)


def windows(tokens: list[int]) -> Array:
    """The text's first tokens as [windows, WINDOW] int64.

    Raises:
        ValueError: there is not one whole window.
    """
    count = min(len(tokens), TOKENS) // WINDOW
    if not count:
        raise ValueError(f"the text has {len(tokens)} tokens; at least {WINDOW} are needed")
    return np.array(tokens[: count * WINDOW], np.int64).reshape(count, WINDOW)


def following(window: Array) -> Array:
    """The next token of each position [n]; -1 after the last."""
    return np.append(window[1:], -1)


def _log_softmax(logits: Array) -> Array:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    return shifted
