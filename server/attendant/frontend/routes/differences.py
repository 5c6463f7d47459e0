"""How far two answers to the same call are from each other: the caller's, and a shadow's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from attendant.core.generation import Delta, GenerationPart
from attendant.metrics.routes import Measure
from attendant.tasks.answers import Answer
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.ctc import Transcript
from attendant.tasks.embeddings import Embedding
from attendant.tasks.masks import FilledMask
from attendant.tasks.sparse import SparseEmbedding
from attendant.tasks.tokens import Entity


@dataclass(frozen=True, slots=True)
class Difference:
    """What two answers differ in. ``distances``: 0 to 1 each, see :class:`attendant.metrics.routes.RouteMetrics`."""

    equal: bool
    distances: Mapping[Measure, float] = field(default_factory=dict)


class Texts:
    """The texts of an answer that is generated, by the index of its sequences."""

    def __init__(self) -> None:
        self._texts: defaultdict[int, list[str]] = defaultdict(list)

    def take(self, part: GenerationPart) -> None:
        """Take a part down."""
        if isinstance(part, Delta):
            self._texts[part.index].append(part.text)

    @property
    def all(self) -> tuple[str, ...]:
        """The texts in the order of their indices."""
        return tuple("".join(self._texts[index]) for index in sorted(self._texts))

    def differences(self, other: Texts) -> Difference:
        """Between this answer and another."""
        return of_texts(self.all, other.all)


def of_texts(one: Sequence[str], two: Sequence[str]) -> Difference:
    """Between texts: whether they are equal, and how far their lengths are apart, the mean over all."""
    apart = [abs(len(a) - len(b)) / max(len(a), len(b), 1) for a, b in zip(one, two, strict=False)]
    unmatched = abs(len(one) - len(two))
    mean = (sum(apart) + unmatched) / max(len(apart) + unmatched, 1)
    return Difference(tuple(one) == tuple(two), {"length": mean})


def of_results(one: Sequence[Any], two: Sequence[Any]) -> Difference:
    """Between results of models that encode, of the same call."""
    if not one or len(one) != len(two):
        return Difference(not one and not two)
    match one[0]:
        case RankedDocument():
            return _of_ranks(one, two)
        case Embedding() | np.ndarray():
            return _of_vectors([_matrix(each) for each in one], [_matrix(each) for each in two])
        case SparseEmbedding():
            return _of_labels([_weights(each) for each in one], [_weights(each) for each in two])
        case Transcript():
            return of_texts([each.text for each in one], [each.text for each in two])
    return _of_labels([_named(each) for each in one], [_named(each) for each in two])


Named = Sequence[tuple[object, float]]
"""What a result says, best first, with the score of each."""


def _named(result: Sequence[Any]) -> Named:
    found: list[tuple[object, float]] = []
    for each in result:
        match each:
            case Label():
                found.append((each.label, each.score))
            case Entity():
                found.append(((each.label, each.span.start, each.span.end), each.score))
            case Answer():
                found.append(((each.text, each.span.start), each.score))
            case FilledMask():
                found += [((number, fill.token), fill.score) for number, fill in enumerate(each.fills)]
    return found


def _weights(sparse: SparseEmbedding) -> Named:
    """The heaviest token first."""
    found = zip(sparse.indices.tolist(), sparse.values.tolist(), strict=True)
    return sorted(found, key=lambda pair: -pair[1])


def _of_labels(one: Sequence[Named], two: Sequence[Named]) -> Difference:
    others = sum(_first(a) != _first(b) for a, b in zip(one, two, strict=True))
    scores = [_largest(dict(a), dict(b)) for a, b in zip(one, two, strict=True)]
    return Difference(
        [list(a) for a in one] == [list(b) for b in two],
        {"label": others / len(one), "score": min(max(scores, default=0.0), 1.0)},
    )


def _of_ranks(one: Sequence[RankedDocument], two: Sequence[RankedDocument]) -> Difference:
    scores = _largest({each.index: each.score for each in one}, {each.index: each.score for each in two})
    return Difference(
        [(each.index, each.score) for each in one] == [(each.index, each.score) for each in two],
        {"label": float(one[0].index != two[0].index), "score": min(scores, 1.0)},
    )


def _of_vectors(one: Sequence[Any], two: Sequence[Any]) -> Difference:
    pairs = list(zip(one, two, strict=True))
    equal = all(a.shape == b.shape and bool(np.array_equal(a, b)) for a, b in pairs)
    if any(a.shape != b.shape for a, b in pairs):
        return Difference(equal, {"score": 1.0})
    largest = max((float(np.abs(a - b).max(initial=0.0)) for a, b in pairs), default=0.0)
    return Difference(equal, {"score": min(largest, 1.0)})


def _matrix(embedding: Any) -> Any:
    if not isinstance(embedding, Embedding):
        return embedding
    values = embedding.values if embedding.values is not None else embedding.token_values
    assert values is not None, "an embedding has one vector or one for each token"
    return values


def _first(named: Named) -> object:
    return named[0][0] if named else None


def _largest(one: Mapping[Any, float], two: Mapping[Any, float]) -> float:
    """The largest difference of a score; what only one of them has counts 0 in the other."""
    return max((abs(one.get(key, 0.0) - two.get(key, 0.0)) for key in one.keys() | two.keys()), default=0.0)
