"""Adds up how far one model's next tokens are from another's, a few positions at a time, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attendant.bundle import Distance

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ELEMENTS = 1 << 20  # of logits at a time: 8 MB in float64, which stay in a cache


class DistanceSum:
    """Sums over positions; see :class:`attendant.bundle.Distance` for what of."""

    def __init__(self) -> None:
        self._positions = self._same = 0
        self._nll = self._reference_nll = self._kl = self._entropy = 0.0

    def add(self, reference: Floats, found: Floats, targets: Ints) -> None:
        """Takes in positions.

        Args:
            reference, found: logits of the source model and of the bundle, [n, vocab_size] float32.
            targets: the text's token after each position, [n] int64.
        """
        step = max(1, _ELEMENTS // reference.shape[-1])
        for start in range(0, len(reference), step):
            part = slice(start, start + step)
            self._add(reference[part], found[part], targets[part])

    def _add(self, reference: Floats, found: Floats, targets: Ints) -> None:
        model, bundle = _log_probabilities(reference), _log_probabilities(found)  # [n, vocab_size]
        rows = np.arange(len(targets))
        self._positions += len(rows)
        self._same += int((reference.argmax(-1) == found.argmax(-1)).sum())
        self._reference_nll -= float(model[rows, targets].sum())
        self._nll -= float(bundle[rows, targets].sum())
        share = np.exp(model)
        self._entropy -= _dot(share, model)
        bundle -= model
        self._kl -= _dot(share, bundle)

    @property
    def entropy(self) -> float:
        """The source model's entropy, a position's mean, nats."""
        return self._entropy / self._positions

    def mean(self) -> Distance:
        """The means over all positions taken in, of which there is at least one."""
        count = self._positions
        return Distance(
            positions=count,
            nll=self._nll / count,
            reference_nll=self._reference_nll / count,
            kl=max(0.0, self._kl / count),  # rounding may leave it below by 1e-17
            greedy_agreement=self._same / count,
        )


def _log_probabilities(logits: Floats) -> Doubles:
    """Of logits [n, vocab_size], finite or -inf, of which a row has a finite one; -inf becomes a very small one."""
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(-1, keepdims=True))
    return np.maximum(wide, -1e3, out=wide)


def _dot(left: Doubles, right: Doubles) -> float:
    return float(np.einsum("ij,ij->", left, right))
