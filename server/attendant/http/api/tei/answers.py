"""Results as TEI's lists."""

from __future__ import annotations

from typing import Any

from attendant.frontend.encoding.calls import Encoded
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.embeddings import Embedding
from attendant.tasks.sparse import SparseEmbedding
from attendant.tasks.vectors import Floats


def vectors(encoded: Encoded[Embedding]) -> list[Any]:
    """The vector of each input, or of each of its tokens."""
    return [each.tolist() for each in _arrays(encoded)]


def num_numbers(encoded: Encoded[Embedding]) -> int:
    """Of all vectors together."""
    return sum(each.size for each in _arrays(encoded))


def weights(encoded: Encoded[SparseEmbedding]) -> list[list[dict[str, Any]]]:
    """Tokens of the vocabulary with their weights."""
    pairs = [zip(each.indices.tolist(), each.values.tolist(), strict=True) for each in encoded.results]
    return [[{"index": index, "value": value} for index, value in each] for each in pairs]


def predictions(encoded: Encoded[tuple[Label, ...]], *, batch: bool) -> list[Any]:
    """Labels, highest score first; of a batch a list for each input."""
    found = [[{"score": label.score, "label": label.label} for label in labels] for labels in encoded.results]
    return found if batch else found[0]


def ranks(encoded: Encoded[RankedDocument], *, with_text: bool) -> list[dict[str, Any]]:
    """Texts by score, highest first."""
    return [
        {"index": each.index, "score": each.score, **({"text": each.document} if with_text else {})}
        for each in encoded.results
    ]


def _arrays(encoded: Encoded[Embedding]) -> list[Floats]:
    """One for each input: [hidden], or [tokens, hidden]."""
    found = [each.values if each.values is not None else each.token_values for each in encoded.results]
    return [each for each in found if each is not None]
