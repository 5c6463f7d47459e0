"""How the vectors of a row's tokens become one: what :class:`attendant.bundle.EmbeddingHead` means by pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from attendant.bundle.encoders import Pooling

Floats = npt.NDArray[np.float32]


def pool(token_embeddings: Floats, poolings: Sequence[Pooling], num_skipped: int = 0) -> Floats:
    """One vector [hidden * poolings] of the vectors [n, hidden] of all tokens of a row, special ones included, in
    float32: that of each pooling, one after another.

    Args:
        num_skipped: leading tokens that are not read. The others keep their weights in a weighted mean.
    """
    parts = [_pooled(token_embeddings[num_skipped:], pooling, num_skipped) for pooling in poolings]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _pooled(vectors: Floats, pooling: Pooling, num_skipped: int) -> Floats:
    """[hidden] of [n, hidden]. ``weighted_mean``: a token weighs its position in the row, counted from 1 (Muennighoff
    2022, section 3.1.1); ``mean_sqrt_len``: the sum, divided by the square root of n."""
    match pooling:
        case "mean":
            pooled: Floats = vectors.mean(axis=0, dtype=np.float32)
        case "cls":
            pooled = vectors[0]
        case "last":
            pooled = vectors[-1]
        case "max":
            pooled = vectors.max(axis=0)
        case "mean_sqrt_len":
            pooled = vectors.sum(axis=0, dtype=np.float32) / np.sqrt(np.float32(len(vectors)))
        case "weighted_mean":
            weights = np.arange(num_skipped + 1, num_skipped + len(vectors) + 1, dtype=np.float32)
            pooled = (vectors * weights[:, None]).sum(axis=0, dtype=np.float32) / weights.sum()
    return pooled
