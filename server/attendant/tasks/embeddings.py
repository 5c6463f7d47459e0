"""Token vectors to one vector, its dimensions and its length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attendant.bundle import EmbeddingHead
from attendant.bundle.pooling import pool
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


def finish(vectors: Floats, dimensions: int | None, *, normalise: bool, kept: int | None = None) -> Floats:
    """Vectors [..., d] cut to their first ``dimensions`` numbers, then divided by their Euclidean lengths, of which the
    first ``kept`` numbers are left."""
    vectors = vectors[..., :dimensions]
    if normalise:
        lengths = np.sqrt(np.sum(np.square(vectors), axis=-1, keepdims=True, dtype=np.float32))
        vectors = (vectors / np.maximum(lengths, _MIN_LENGTH)).astype(np.float32, copy=False)
    # A copy: a view would keep the whole batch's output alive.
    return np.array(vectors[..., :kept], np.float32)


@dataclass(frozen=True, slots=True)
class VectorForm:
    """The form of the vectors that a call gets: what was asked for, else what the model was made for.

    A model's own shorter vectors are the first numbers of its normalised ones, as sentence-transformers has it; those
    that a call asks for are normalised when they are cut.
    """

    dimensions: int | None
    normalise: bool
    kept: int | None = None

    @classmethod
    def of(cls, head: EmbeddingHead, dimensions: int | None, normalise: bool | None) -> VectorForm:
        """The form for a call's ``dimensions`` and ``normalise``; None leaves them to the model.

        Raises:
            InvalidRequest: more dimensions than the vectors have, or none.
        """
        check_dimensions(dimensions, head)
        if dimensions is None and normalise is None:
            return cls(None, head.normalise, head.default_dimensions)
        wanted = head.normalise if normalise is None else normalise
        return cls(head.default_dimensions if dimensions is None else dimensions, wanted)

    def finish(self, vectors: Floats) -> Floats:
        """Vectors [..., d] in this form."""
        return finish(vectors, self.dimensions, normalise=self.normalise, kept=self.kept)


def row_vector(
    token_embeddings: Floats, head: EmbeddingHead, project: Project | None, form: VectorForm, num_skipped: int = 0
) -> Floats:
    """The vector of one row, by itself: what else is embedded does not touch it, not even by rounding.

    Args:
        num_skipped: leading tokens that pooling does not read.
    """
    pooled = pool(token_embeddings, head.poolings, num_skipped)
    if project is not None:
        pooled = project(pooled[None])[0]
    return form.finish(pooled)
