"""What is made of attention weights: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]


def without_sink(weights: Weights) -> Weights:
    """Rows without their first key, the rest of each summing up to 1 again; a row that has nothing else is 0.

    Args:
        weights: [..., keys] float32, each row summing up to 1 or 0.
    """
    kept = weights.copy()
    kept[..., 0] = 0
    sums = kept.sum(axis=-1, keepdims=True, dtype=np.float64)
    rest: Weights = np.divide(kept, sums, out=np.zeros_like(kept), where=sums > 0, casting="unsafe")
    return rest


def with_residual(mean: Weights) -> Weights:
    """One layer's step of attention rollout: half its attention, half the identity for the residual connection, each
    row divided by its sum. Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3.

    Args:
        mean: [n, n] float32, the mean of the layer's heads.
    """
    mixed = np.float32(0.5) * mean
    mixed[np.diag_indices(len(mixed))] += np.float32(0.5)
    normal: Weights = mixed / mixed.sum(axis=-1, keepdims=True)
    return normal


def rollout(means: Sequence[Weights], rows: slice) -> Weights:
    """Attention rollout of some rows: the product of :func:`with_residual` of all layers, the last one's at the left.

    Args:
        means: of each layer, the first one first, [n, n] float32: the mean of its heads.
        rows: of the product.

    Returns:
        [rows, n] float32.
    """
    product = with_residual(means[-1])[rows]
    for mean in reversed(means[:-1]):
        product = product @ with_residual(mean)
    return product


def widened(weights: Weights, num_keys: int) -> Weights:
    """Weights [..., keys] with zeros behind the last key, up to ``num_keys``."""
    missing = num_keys - weights.shape[-1]
    if missing <= 0:
        return weights
    pads = [(0, 0)] * (weights.ndim - 1) + [(0, missing)]
    padded: Weights = np.pad(weights, pads)
    return padded


def cosines(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Cosines between vectors: [n, dimensions] to [n, n]. A vector of length 0 is like nothing: 0."""
    values = vectors.astype(np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    units = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    found: npt.NDArray[np.float64] = units @ units.T
    return found
