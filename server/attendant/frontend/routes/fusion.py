"""One answer of several models': the mean of their scores or vectors, most of their votes, or fused ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.core.errors import InvalidRequest, StepFailed
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.embeddings import Embedding

Doubles = npt.NDArray[np.float64]
Labels = tuple[Label, ...]
_UNIT = 1e-3
"""How far from 1 the length of a normalised vector may be, in float32."""


def mean_labels(answers: Sequence[Sequence[Labels]], weights: Sequence[float], top_k: int | None) -> list[Labels]:
    """The weighted mean of each label's score, by input; highest first, equals by index.

    Args:
        answers: of each member, of each input, all labels. They may have them in different orders.
    """
    return [_ranked(_names(labels[0]), _mean(_scores(labels), weights), top_k) for labels in zip(*answers, strict=True)]


def voted_labels(answers: Sequence[Sequence[Labels]], weights: Sequence[float], top_k: int | None) -> list[Labels]:
    """The share of the weights that each label is first for, by input; of equals the one with the higher mean score is
    first, and then the one with the lower index."""
    return [
        _ranked(_names(labels[0]), _shares(labels, weights), top_k, then=_mean(_scores(labels), weights))
        for labels in zip(*answers, strict=True)
    ]


def mean_vectors(
    answers: Sequence[Sequence[Embedding]], weights: Sequence[float], normalise: bool | None
) -> list[Embedding]:
    """The weighted mean of vectors, by input.

    Args:
        normalise: to length 1; None: if all members' vectors have it.
    """
    made = []
    for embeddings in zip(*answers, strict=True):
        vectors = [each.values for each in embeddings if each.values is not None]
        rows = np.stack([vector.astype(np.float64) for vector in vectors])  # [members, d]
        mean = np.average(rows, axis=0, weights=weights)
        alike = bool(np.all(np.abs(np.linalg.norm(rows, axis=1) - 1) < _UNIT))
        if alike if normalise is None else normalise:
            mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
        made.append(Embedding(mean.astype(np.float32)))
    return made


def mean_ranks(answers: Sequence[Sequence[RankedDocument]], weights: Sequence[float]) -> Doubles:
    """The weighted mean of each document's score, [documents]."""
    return _mean(np.stack([_by_document(each) for each in answers]), weights)


def fused_ranks(ranks: Sequence[npt.NDArray[np.int64]], weights: Sequence[float], k: float) -> Doubles:
    """The score of each document by reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the sum over the
    members of weight / (k + rank).

    Args:
        ranks: of each member the rank of each document, [documents], from 1.
    """
    scores: Doubles = np.sum([w / (k + each) for w, each in zip(weights, ranks, strict=True)], axis=0, dtype=np.float64)
    return scores


def ranks_of(documents: Sequence[RankedDocument]) -> npt.NDArray[np.int64]:
    """The rank of each document, from 1, as a member has ordered all of them."""
    found = np.zeros(len(documents), np.int64)
    for rank, document in enumerate(documents, 1):
        found[document.index] = rank
    return found


def ranks_by_cosine(query: Embedding, documents: Sequence[Embedding]) -> npt.NDArray[np.int64]:
    """The rank of each document, from 1, by the cosine between its vector and the query's; equals by index."""
    vectors = np.stack([_unit(document) for document in documents])  # [documents, d]
    order = np.argsort(-(vectors @ _unit(query)), kind="stable")
    found = np.zeros(len(order), np.int64)
    found[order] = np.arange(1, len(order) + 1)
    return found


def check_no_tokens(per_token: bool, name: str) -> None:
    """Raises InvalidRequest if vectors of tokens are asked for: tokens differ from member to member."""
    if per_token:
        raise InvalidRequest("per_token", f"is true; allowed with {name!r}, the mean of several models: false")


def _names(labels: Labels) -> list[str]:
    """By index."""
    return [label.label for label in sorted(labels, key=lambda each: each.index)]


def _scores(labels: Sequence[Labels]) -> Doubles:
    """[members, labels], in the first member's order of labels."""
    names = _names(labels[0])
    rows = [{label.label: label.score for label in each} for each in labels]
    if any(row.keys() != rows[0].keys() for row in rows):
        raise StepFailed("members of the ensemble have different labels by now")
    return np.array([[row[name] for name in names] for row in rows], np.float64)


def _mean(scores: Doubles, weights: Sequence[float]) -> Doubles:
    mean: Doubles = np.average(scores, axis=0, weights=weights)
    return mean


def _shares(labels: Sequence[Labels], weights: Sequence[float]) -> Doubles:
    names = _names(labels[0])
    votes = np.zeros(len(names))
    for each, weight in zip(labels, weights, strict=True):
        votes[names.index(each[0].label)] += weight
    shares: Doubles = votes / sum(weights)
    return shares


def _ranked(names: Sequence[str], scores: Doubles, top_k: int | None, then: Doubles | None = None) -> Labels:
    """``then``: orders equals, before their index does."""
    keys = (-scores,) if then is None else (-then, -scores)
    order = np.lexsort((np.arange(len(names)), *keys))[:top_k]
    return tuple(Label(names[i], float(scores[i]), int(i)) for i in order)


def _by_document(documents: Sequence[RankedDocument]) -> Doubles:
    found = np.zeros(len(documents))
    for document in documents:
        found[document.index] = document.score
    return found


def _unit(embedding: Embedding) -> Any:
    assert embedding.values is not None, "it was asked for one vector"
    vector = embedding.values.astype(np.float64)
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
