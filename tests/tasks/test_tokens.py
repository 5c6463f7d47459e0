"""Labelled spans, against the pipeline of transformers and against windows put together by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attendant.bundle import TextInput
from attendant.tasks.text import TextTokenizer
from attendant.tasks.token_rows import RowMaker
from attendant.tasks.tokens import Aggregation, Entity, entities, join_windows
from tokenizers import Tokenizer

from tests.tasks.tokenizers_of_kinds import byte_level, word_piece

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS = ["the cat, playing in new-york is paris.", "qq playing", "cafe\u0301 \U0001f600 sat", ""]


def logits_for(n: int, seed: int, sharpness: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, len(LABELS))) * sharpness).astype(np.float32)


SCHEMES = {
    "BIO": LABELS,
    "BIOES": ("O", "B-PER", "I-PER", "E-PER", "S-PER"),
    "BILOU": ("O", "U-LOC", "L-LOC", "B-LOC", "I-LOC"),
    "no prefix": ("O", "PER", "WORK-OF-ART", "X-O", "-"),
}


def by_transformers(
    tokenizer: Tokenizer, text: str, logits: np.ndarray, strategy: Aggregation, labels: tuple[str, ...] = LABELS
) -> list[tuple[str, int, int, float]]:
    """What the original makes of the same scores."""
    transformers = pytest.importorskip("transformers")
    from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

    unknown = "[UNK]" if tokenizer.token_to_id("[UNK]") is not None else None
    pipeline: Any = object.__new__(TokenClassificationPipeline)
    pipeline.tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown)
    pipeline.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(labels))))
    encoding = tokenizer.encode(text, add_special_tokens=False)
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = exponents / exponents.sum(axis=-1, keepdims=True)
    wanted = AggregationStrategy(strategy.value)
    mask = np.zeros(len(encoding.ids), int)
    before = pipeline.gather_pre_entities(text, np.array(encoding.ids), scores, encoding.offsets, mask, wanted)
    found = pipeline.aggregate(before, wanted)
    return [
        (label, entity["start"], entity["end"], float(entity["score"]))
        for entity in found
        if (label := entity.get("entity_group", entity.get("entity"))) != "O"
    ]


def plain(found: tuple[Entity, ...]) -> list[tuple[str, int, int, float]]:
    return [(entity.label, entity.span.start, entity.span.end, entity.score) for entity in found]


@pytest.mark.parametrize("strategy", list(Aggregation))
@pytest.mark.parametrize("kind", [word_piece, byte_level])
@pytest.mark.parametrize("text", TEXTS[:2])
@pytest.mark.parametrize("labels", SCHEMES.values(), ids=SCHEMES)
def test_aggregation_is_that_of_transformers(
    kind: Callable[[], Tokenizer], text: str, strategy: Aggregation, labels: tuple[str, ...]
) -> None:
    tokenizer = kind()
    (tokens,) = TextTokenizer(tokenizer).tokenize([text], 100, spans=True)
    for seed in range(20):
        logits = logits_for(len(tokens), seed)
        wanted = by_transformers(tokenizer, text, logits, strategy, labels)
        expected = [entity for entity in wanted if entity[1] < entity[2]]
        found = plain(entities(tokens, logits, labels, strategy))
        assert [entity[:3] for entity in found] == [entity[:3] for entity in expected]
        assert [entity[3] for entity in found] == pytest.approx([entity[3] for entity in expected], abs=1e-6)


@pytest.mark.parametrize("strategy", list(Aggregation))
@pytest.mark.parametrize("text", TEXTS)
def test_spans_have_the_text_they_name(text: str, strategy: Aggregation) -> None:
    (tokens,) = TextTokenizer(byte_level()).tokenize([text], 100, spans=True)
    found = entities(tokens, logits_for(len(tokens), 1), LABELS, strategy, keep_outside=True)
    assert all(entity.text == text[entity.span.start : entity.span.end] and entity.text for entity in found)
    assert bool(found) == bool(text)


def test_one_entity_goes_on_until_another_begins() -> None:
    tokens = TextTokenizer(word_piece()).tokenize(["new york the paris in cat"], 100, spans=True)[0]
    wanted = ("B-LOC", "I-LOC", "O", "B-LOC", "B-LOC", "I-PER")
    logits = np.full((6, len(LABELS)), -20, np.float32)
    for place, label in enumerate(wanted):
        logits[place, LABELS.index(label)] = 20
    found = entities(tokens, logits, LABELS, Aggregation.SIMPLE)
    assert [(entity.label, entity.text) for entity in found] == [
        ("LOC", "new york"), ("LOC", "paris"), ("LOC", "in"), ("PER", "cat")
    ]  # fmt: skip
    outside = entities(tokens, logits, LABELS, Aggregation.NONE, keep_outside=True)
    assert [entity.label for entity in outside] == list(wanted)


def test_where_windows_meet_each_token_is_read_with_most_text_around_it() -> None:
    tokenizer = word_piece()
    (tokens,) = TextTokenizer(tokenizer).tokenize(["a b c d e f g h i j"], 100, spans=True)
    maker = RowMaker(tokenizer, TextInput(max_tokens=8), with_types=False)
    rows = maker.windows(tokens, 4, "f")  # six tokens each: a-f, c-h, e-j
    assert [row.first.skipped for row in rows] == [0, 2, 4]
    logits = [np.full((len(row), len(LABELS)), index, np.float32) for index, row in enumerate(rows)]
    joined = join_windows(rows, logits, len(tokens))
    assert joined[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]


def test_windows_of_one_model_agree_with_the_whole() -> None:
    tokenizer = word_piece()
    (tokens,) = TextTokenizer(tokenizer).tokenize(["playing the cat sat in new york . " * 9], 1000, spans=True)
    maker = RowMaker(tokenizer, TextInput(max_tokens=20), with_types=False)
    table = logits_for(tokenizer.get_vocab_size(), 3)  # a model that looks at no other token
    whole = table[tokens.ids]
    for stride in (0, 1, 7, 17):
        rows = maker.windows(tokens, stride, "f")
        assert np.array_equal(join_windows(rows, [table[row.ids] for row in rows], len(tokens)), whole)
