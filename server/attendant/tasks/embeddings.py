"""Token vectors to one vector, its dimensions and its length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attendant.bundle import EmbeddingHead, Pooling
from attendant.core.errors import InvalidRequest
from attendant.tasks.text import Ints
from attendant.tasks.vectors import Floats

Project = Callable[[Floats], Floats]
"""[num_rows, hidden] float32 to [num_rows, dimensions] float32."""

_MIN_LENGTH = np.float32(1e-12)


@dataclass(frozen=True, slots=True)
class Embedding:
    """One input: its vector [d] float32; or, by token, vectors [n, d] with ids [n] and spans [n, 2]."""

    values: Floats | None = None
    token_values: Floats | None = None
    token_ids: Ints | None = None
    token_spans: Ints | None = None


def check_dimensions(dimensions: int | None, head: EmbeddingHead) -> None:
    """Raises InvalidRequest for more dimensions than the vectors have, or none."""
    if dimensions is not None and not 1 <= dimensions <= head.dimensions:
        raise InvalidRequest("dimensions", f"is {dimensions}; allowed: 1 to {head.dimensions}")


def pool(token_embeddings: Floats, pooling: Pooling) -> Floats:
    """One vector [hidden] of the vectors [n, hidden] of all tokens of a row, special ones included, in float32."""
    vector: Floats
    match pooling:
        case "mean":
            vector = token_embeddings.mean(axis=0, dtype=np.float32)
        case "cls":
            vector = token_embeddings[0]
        case "last":
            vector = token_embeddings[-1]
        case "max":
            vector = token_embeddings.max(axis=0)
    return vector


def finish(vectors: Floats, dimensions: int | None, *, normalise: bool) -> Floats:
    """Vectors [..., d] cut to their first ``dimensions`` numbers, then divided by their Euclidean lengths."""
    vectors = vectors[..., :dimensions]
    if normalise:
        lengths = np.sqrt(np.sum(np.square(vectors), axis=-1, keepdims=True, dtype=np.float32))
        vectors = (vectors / np.maximum(lengths, _MIN_LENGTH)).astype(np.float32, copy=False)
    # A copy: a view would keep the whole batch's output alive.
    return np.array(vectors, np.float32)


def row_vector(
    token_embeddings: Floats, pooling: Pooling, project: Project | None, dimensions: int | None, *, normalise: bool
) -> Floats:
    """The vector of one row, by itself: what else is embedded does not touch it, not even by rounding."""
    pooled = pool(token_embeddings, pooling)
    if project is not None:
        pooled = project(pooled[None])[0]
    return finish(pooled, dimensions, normalise=normalise)
