"""Logits of a masked language model to a sparse vector of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attendant.tasks.text import Ints
from attendant.tasks.vectors import Floats


@dataclass(frozen=True, slots=True)
class SparseEmbedding:
    """The weights of one input that are not zero: ids of tokens [k] int64, rising, and their weights [k] float32."""

    indices: Ints
    values: Floats


def sparse_vector(logits: Floats) -> SparseEmbedding:
    """The greatest of log(1 + max(logit, 0)) over all tokens of a row, for each token of the vocabulary: SPLADE with
    max pooling (Formal et al. 2021, SPLADE v2, equation 6).

    Args:
        logits: [n, vocab_size] float32, of every token of the row, special ones included.
    """
    greatest = np.maximum(logits.max(axis=0), 0)  # [vocab_size]; the logarithm keeps the order
    indices = np.flatnonzero(greatest)
    return SparseEmbedding(indices, np.log1p(greatest[indices], dtype=np.float32))
