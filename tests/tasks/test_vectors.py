"""Labels, ranks, vectors and masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead, TextInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.classification import label_scores, ranked_labels, relevance
from attendant.tasks.embeddings import check_dimensions, finish, pool, row_vector
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
    assert pool(tokens, "mean") == pytest.approx(tokens.astype(np.float64).mean(axis=0), abs=1e-6)
    assert pool(tokens, "cls").tolist() == tokens[0].tolist()
    assert pool(tokens, "last").tolist() == tokens[6].tolist()
    assert pool(tokens, "max").tolist() == [max(tokens[:, i]) for i in range(5)]
    assert pool(tokens, "mean").dtype == np.float32


def test_vectors_are_cut_and_then_normalised() -> None:
    tokens = RNG.standard_normal((7, 5)).astype(np.float32)
    vector = row_vector(tokens, "mean", lambda pooled: pooled @ np.eye(5, 4, dtype=np.float32), 3, normalise=True)
    expected = tokens.mean(axis=0)[:3]
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert finish(np.zeros(4, np.float32), None, normalise=True).tolist() == [0, 0, 0, 0]
    head = EmbeddingHead(pooling="mean", dimensions=4)
    check_dimensions(None, head)
    check_dimensions(4, head)
    for wrong in (0, 5):
        with pytest.raises(InvalidRequest, match=f"dimensions is {wrong}; allowed: 1 to 4"):
            check_dimensions(wrong, head)


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
    (read,) = TextTokenizer(tokenizer).encode([text], 100, spans=True)
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
    read, none = texts.encode(["[MASK] the [MASK]", "the cat sat in [MASK]"], 100, spans=True)
    row = rows.single(read, truncate=False, field="f")
    found = filler.fill(read, row, filler.masks(row, "f"), RNG.standard_normal((2, 90)).astype(np.float32))
    assert [(mask.span.start, mask.span.end, len(mask.fills)) for mask in found] == [(0, 6, 5), (11, 17, 5)]
    with pytest.raises(InvalidRequest, match=r"no mask token in the part .* at least one \[MASK\]"):
        filler.masks(rows.single(none, truncate=True, field="f"), "f")
