"""Labels, ranks, vectors and masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead, Pooling, TextInput
from attendant.bundle.pooling import pool
from attendant.core.errors import InvalidRequest
from attendant.tasks.classification import label_scores, ranked_labels, relevance
from attendant.tasks.embeddings import VectorForm, finish, row_vector
from attendant.tasks.masks import MaskFiller
from attendant.tasks.text import TextTokenizer
from attendant.tasks.token_rows import RowMaker
from attendant.tasks.vectors import best, sigmoid, softmax
from tokenizers import Tokenizer

from tests.tasks.tokenizers_of_kinds import byte_level, sentence_piece, word_piece

RNG = np.random.default_rng(0)


def test_probabilities_are_float32_and_do_not_overflow() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]], np.float32)
    assert softmax(logits).dtype == sigmoid(logits).dtype == np.float32
    assert softmax(logits)[0].tolist() == [1, 0, 0]
    assert sigmoid(logits)[0].tolist() == [1, 0.5, 0]
    assert softmax(logits)[1].sum() == pytest.approx(1)
    assert sigmoid(logits)[1] == pytest.approx(1 / (1 + np.exp(-logits[1])), rel=1e-6)


def test_the_best_are_in_order_and_equals_by_index() -> None:
    for n, count in ((5, 2), (1000, 7), (1000, None), (3, 9)):
        scores = RNG.integers(0, 20, n).astype(np.float32)
        expected = sorted(range(n), key=lambda i: (-scores[i], i))[:count]
        assert best(scores, count).tolist() == expected


def test_labels_of_each_problem() -> None:
    logits, labels = np.array([1.0, 3.0, 2.0], np.float32), ("a", "b", "c")
    single = ranked_labels(logits, labels, "single_label")
    assert [(label.label, label.index) for label in single] == [("b", 1), ("c", 2), ("a", 0)]
    assert sum(label.score for label in single) == pytest.approx(1)
    multi = ranked_labels(logits, labels, "multi_label", top_k=2)
    assert [label.score for label in multi] == pytest.approx([0.952574, 0.880797], abs=1e-5)
    assert [label.score for label in ranked_labels(logits, labels, "regression")] == [3, 2, 1]
    assert [label.score for label in ranked_labels(logits, labels, "single_label", raw=True, top_k=1)] == [3]
    assert label_scores(np.zeros(1, np.float32), "single_label").tolist() == [0.5]


def test_relevance_is_the_sigmoid_of_the_only_label_or_the_last_ones_probability() -> None:
    assert relevance(np.array([2.0], np.float32)) == pytest.approx(0.880797, abs=1e-6)
    assert relevance(np.array([0.0, 2.0], np.float32)) == pytest.approx(0.880797, abs=1e-6)
    assert relevance(np.array([0.0, 2.0], np.float32), raw=True) == 2


def test_pooling() -> None:
    tokens = RNG.standard_normal((7, 5)).astype(np.float32)
    assert pool(tokens, ["mean"]) == pytest.approx(tokens.astype(np.float64).mean(axis=0), abs=1e-6)
    assert pool(tokens, ["cls"]).tolist() == tokens[0].tolist()
    assert pool(tokens, ["last"]).tolist() == tokens[6].tolist()
    assert pool(tokens, ["max"]).tolist() == [max(tokens[:, i]) for i in range(5)]
    assert pool(tokens, ["mean"]).dtype == np.float32


# The numbers of sentence-transformers' Pooling for these three tokens.
THREE = np.array([[1, -2], [2, 0], [6, 4]], np.float32)


@pytest.mark.parametrize(
    ("poolings", "vector", "without_first"),
    [
        (["weighted_mean"], [23 / 6, 10 / 6], [22 / 5, 12 / 5]),  # the others keep their positions' weights
        (["mean_sqrt_len"], [9 / 3**0.5, 2 / 3**0.5], [8 / 2**0.5, 4 / 2**0.5]),
        (["mean"], [3, 2 / 3], [4, 2]),
        (["cls"], [1, -2], [2, 0]),
        (["cls", "max", "mean"], [1, -2, 6, 4, 3, 2 / 3], [2, 0, 6, 4, 4, 2]),
        (["last", "weighted_mean"], [6, 4, 23 / 6, 10 / 6], [6, 4, 22 / 5, 12 / 5]),
    ],
)
def test_poolings_of_sentence_transformers(
    poolings: list[Pooling], vector: list[float], without_first: list[float]
) -> None:
    assert pool(THREE, poolings) == pytest.approx(vector, abs=1e-6)
    assert pool(THREE, poolings, 1) == pytest.approx(without_first, abs=1e-6)
    assert pool(THREE, poolings).dtype == np.float32


def test_vectors_are_cut_and_then_normalised() -> None:
    tokens = RNG.standard_normal((7, 5)).astype(np.float32)
    head = EmbeddingHead(pooling="mean", dimensions=4)
    form = VectorForm.of(head, 3, True)
    vector = row_vector(tokens, head, lambda pooled: pooled @ np.eye(5, 4, dtype=np.float32), form)
    expected = tokens.mean(axis=0)[:3]
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert finish(np.zeros(4, np.float32), None, normalise=True).tolist() == [0, 0, 0, 0]
    VectorForm.of(head, 4, None)
    for wrong in (0, 5):
        with pytest.raises(InvalidRequest, match=f"dimensions is {wrong}; allowed: 1 to 4"):
            VectorForm.of(head, wrong, None)


@pytest.mark.parametrize(
    ("dimensions", "normalise", "expected"),
    [
        (None, None, [0.6, 0]),  # as sentence-transformers: cut after the normalising module
        (None, True, [1, 0]),  # as its normalize_embeddings
        (None, False, [3, 0]),
        (4, None, [0.6, 0, 0.8, 0]),
        (1, None, [1]),
        (3, False, [3, 0, 4]),
    ],
)
def test_a_model_of_shorter_vectors(dimensions: int | None, normalise: bool | None, expected: list[float]) -> None:
    head = EmbeddingHead(pooling="mean", dimensions=4, normalise=True, default_dimensions=2)
    found = VectorForm.of(head, dimensions, normalise).finish(np.array([3, 0, 4, 0], np.float32))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "text", "tokens", "filled"),
    [
        (word_piece, "Paris is [MASK] the cat", ["in"], ["Paris is in the cat"]),
        (word_piece, "play [MASK] .", ["##ing"], ["playing ."]),
        (byte_level, "a <mask>.", ["b", "\u0120"], ["ab.", "a ."]),
        (sentence_piece, "the <mask>.", ["\u2581cat", "s"], ["the cat.", "thes."]),
        (sentence_piece, "<mask> \U0001f600", ["\u2581the"], ["the \U0001f600"]),
    ],
)
def test_a_filled_text_reads_as_the_vocabulary_means_it(
    kind: Callable[[], Tokenizer], text: str, tokens: list[str], filled: list[str]
) -> None:
    tokenizer = kind()
    name = "[MASK]" if kind is word_piece else "<mask>"
    filler = MaskFiller(tokenizer, tokenizer.token_to_id(name))
    (read,) = TextTokenizer(tokenizer).tokenize([text], 100, spans=True)
    row = RowMaker(tokenizer, TextInput(max_tokens=64), with_types=False).single(read, truncate=False, field="f")
    masks = filler.masks(row, "f")
    logits = np.zeros((1, tokenizer.get_vocab_size() + 3), np.float32)  # vocabularies are often padded
    logits[0, -1] = 50
    for rank, token in enumerate(tokens):
        logits[0, tokenizer.token_to_id(token)] = 9 - rank
    (mask,) = filler.fill(read, row, masks, logits, top_k=len(tokens))
    assert text[mask.span.start : mask.span.end] == name
    assert [fill.text for fill in mask.fills] == filled
    assert [fill.token_id for fill in mask.fills] == [tokenizer.token_to_id(token) for token in tokens]


def test_several_masks_and_none() -> None:
    tokenizer = word_piece()
    filler = MaskFiller(tokenizer, tokenizer.token_to_id("[MASK]"))
    texts = TextTokenizer(tokenizer)
    rows = RowMaker(tokenizer, TextInput(max_tokens=6), with_types=False)
    read, none = texts.tokenize(["[MASK] the [MASK]", "the cat sat in [MASK]"], 100, spans=True)
    row = rows.single(read, truncate=False, field="f")
    found = filler.fill(read, row, filler.masks(row, "f"), RNG.standard_normal((2, 90)).astype(np.float32))
    assert [(mask.span.start, mask.span.end, len(mask.fills)) for mask in found] == [(0, 6, 5), (11, 17, 5)]
    with pytest.raises(InvalidRequest, match=r"no mask token in the part .* at least one \[MASK\]"):
        filler.masks(rows.single(none, truncate=True, field="f"), "f")
