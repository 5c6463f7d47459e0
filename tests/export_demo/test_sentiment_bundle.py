"""The committed sentiment bundle, as the server runs it: small, whole, right on phrasings it never saw, and sure."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from attendant.bundle import read_any_manifest
from attendant.core.encoding import Row
from attendant.demo import demo_bundle
from attendant.models.encoders import load_encoder
from attendant.settings import EncoderSettings
from attendant.tasks.classification import label_scores
from attendant.tasks.text import TextTokenizer
from attendant.tasks.token_rows import RowMaker
from attendant_demo.sentiment import evaluate
from attendant_demo.sentiment.classify import bundle_classifier
from attendant_demo.sentiment.phrases import LABELS
from attendant_demo.sentiment.reviews import Reviewer, held_out

FOLDER = demo_bundle().parent / "sentiment"
CLEAR = {
    "I love this phone": "positive",
    "The battery lasts two days and the camera is excellent.": "positive",
    "not bad at all": "positive",
    "Best purchase of the year!": "positive",
    "works perfectly, highly recommended": "positive",
    "I hate it": "negative",
    "The screen broke after two weeks.": "negative",
    "hardly worth it": "negative",
    "What a waste of money, I want a refund!": "negative",
    "the speaker is not good at all": "negative",
    "The phone has 128 GB and comes in black.": "neutral",
    "I ordered it on Monday.": "neutral",
    "Great screen, but the battery died.": "neutral",
    "The camera is great but the speaker is terrible.": "neutral",
}


@pytest.fixture(scope="module")
def classify() -> Any:
    """Texts to probabilities [num_texts, num_labels] float32, by the server's own rooms."""
    manifest: Any = read_any_manifest(FOLDER)
    model: Any = load_encoder(FOLDER, manifest, EncoderSettings(threads=1))
    tokenizer = TextTokenizer(model.tokenizer)
    inputs = {value.name for value in model.manifest.graphs["encoder"].inputs}
    rows = RowMaker(model.tokenizer, model.manifest.input, with_types="token_type_ids" in inputs)

    def probabilities(texts: list[str]) -> Any:
        found = []
        for start in range(0, len(texts), 32):
            batch: list[Row] = []
            for tokens in tokenizer.tokenize(texts[start : start + 32], rows.max_tokens):
                row = rows.single(tokens, truncate=True, field="input")
                batch.append(Row(str(len(batch)), rows.arrays(row), len(row), time.monotonic_ns()))
            found += [result["logits"] for result in model.runner.run(batch)]
        return label_scores(np.stack(found), model.manifest.problem)

    return probabilities


@pytest.fixture(scope="module")
def score(classify: Any) -> Any:
    known = {review.normal() for review in Reviewer("train", 5).reviews(20_000)}
    return evaluate.score(classify, held_out(21, 900, known))


def test_the_bundle_is_small_and_says_what_it_is() -> None:
    manifest: Any = read_any_manifest(FOLDER)
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= 4_000_000
    assert (manifest.name, manifest.task, manifest.precision) == ("sentiment", "classify", "int8")
    assert (manifest.target, manifest.layout, manifest.labels) == ("cpu", "packed", LABELS)


def test_held_out_phrasings_are_read_right(score: Any) -> None:
    assert score.accuracy > 0.95, score.wrong
    assert min(score.by_label.values()) > 0.9, score.by_label


def test_clear_reviews_are_read_with_confidence(score: Any) -> None:
    assert score.clear > 500
    assert score.clear_accuracy > 0.95
    assert score.clear_confident > 0.9


@pytest.mark.parametrize(("text", "label"), CLEAR.items())
def test_clear_cases(classify: Any, text: str, label: str) -> None:
    (row,) = classify([text])
    assert LABELS[row.argmax()] == label
    assert row.max() > 0.9


def test_typed_reviews_are_read_right(classify: Any) -> None:
    typed = evaluate.score_typed(classify, set())
    assert typed.reviews >= 60
    assert typed.accuracy >= 0.9, typed.wrong


def test_typing_errors_case_and_emoji_do_not_matter(classify: Any) -> None:
    rows = classify(["I realy lvoe this phone", "I REALLY LOVE THIS PHONE", "I really love this phone 👍"])
    assert (rows.argmax(axis=1) == LABELS.index("positive")).all()


def test_the_build_reads_a_bundle_as_the_server_does(classify: Any) -> None:
    texts = list(CLEAR)
    np.testing.assert_allclose(bundle_classifier(FOLDER)(texts), classify(texts), atol=1e-5)
