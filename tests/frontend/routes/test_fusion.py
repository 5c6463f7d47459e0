"""How answers of several models become one, against numpy and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from attendant.core.errors import StepFailed
from attendant.frontend.routes import fusion
from attendant.tasks.classification import Label, RankedDocument, ranked_documents
from attendant.tasks.embeddings import Embedding


def labels(**scores: float) -> tuple[Label, ...]:
    """Best first, with indices in the order that is given."""
    made = [Label(name, score, i) for i, (name, score) in enumerate(scores.items())]
    return tuple(sorted(made, key=lambda label: (-label.score, label.index)))


def test_the_mean_is_by_label_and_weight() -> None:
    (found,) = fusion.mean_labels(
        [[labels(a=0.5, b=0.3, c=0.2)], [labels(c=0.7, a=0.1, b=0.2)]], [2.0, 1.0], top_k=None
    )
    expected = {"a": (2 * 0.5 + 0.1) / 3, "b": (2 * 0.3 + 0.2) / 3, "c": (2 * 0.2 + 0.7) / 3}
    assert {label.label: label.score for label in found} == pytest.approx(expected)
    assert [(label.label, label.index) for label in found] == [("a", 0), ("c", 2), ("b", 1)]


def test_a_vote_counts_first_labels_and_then_means() -> None:
    answers = [[labels(a=0.6, b=0.4)], [labels(a=0.1, b=0.9)], [labels(a=0.9, b=0.1)]]
    (found,) = fusion.voted_labels(answers, [1.0, 1.0, 1.0], top_k=1)
    assert [(label.label, label.score) for label in found] == [("a", pytest.approx(2 / 3))]
    (even,) = fusion.voted_labels(answers[:2], [1.0, 1.0], top_k=None)
    assert [(label.label, label.score) for label in even] == [("b", 0.5), ("a", 0.5)]


def test_members_whose_labels_have_changed_are_an_error() -> None:
    with pytest.raises(StepFailed):
        fusion.mean_labels([[labels(a=1.0)], [labels(b=1.0)]], [1.0, 1.0], top_k=None)


def test_means_of_vectors_have_length_one_if_all_have() -> None:
    one, two = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    (found,) = fusion.mean_vectors([[Embedding(one)], [Embedding(two)]], [3.0, 1.0], None)
    assert found.values == pytest.approx(np.array([3, 1]) / np.sqrt(10))
    (raw,) = fusion.mean_vectors([[Embedding(one)], [Embedding(two)]], [3.0, 1.0], normalise=False)
    assert raw.values == pytest.approx(np.array([0.75, 0.25]))
    (longer,) = fusion.mean_vectors([[Embedding(2 * one)], [Embedding(two)]], [1.0, 1.0], None)
    assert longer.values == pytest.approx(np.array([1, 0.5]))


def test_ranks_are_fused_as_the_paper_has_it() -> None:
    """Three documents, two members: 1/(60+1) + 1/(60+3), and so on."""
    first = fusion.ranks_of([RankedDocument(2, 9.0), RankedDocument(0, 5.0), RankedDocument(1, 1.0)])
    second = fusion.ranks_of([RankedDocument(1, 0.9), RankedDocument(0, 0.5), RankedDocument(2, 0.1)])
    assert first.tolist() == [2, 3, 1]
    scores = fusion.fused_ranks([first, second], [1.0, 0.5], 60)
    expected = [1 / 62 + 0.5 / 62, 1 / 63 + 0.5 / 61, 1 / 61 + 0.5 / 63]
    assert scores == pytest.approx(expected)
    assert [each.index for each in ranked_documents(scores, (), None)] == [2, 0, 1]
    (best,) = ranked_documents(scores, ("x", "y", "z"), 1)
    assert (best.index, best.score, best.document) == (2, pytest.approx(expected[2]), "z")


def test_cosines_rank_documents_and_equals_by_index() -> None:
    query = Embedding(np.array([1, 1], np.float32))
    vectors = [np.array(each, np.float32) for each in ([1, 0], [5, 5], [0, 3], [0, 0])]
    assert fusion.ranks_by_cosine(query, [Embedding(v) for v in vectors]).tolist() == [2, 1, 3, 4]
