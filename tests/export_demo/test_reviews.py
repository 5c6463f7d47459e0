"""Composed reviews: deterministic, balanced, and held-out phrasings apart from those of training."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from attendant_demo.grammar import slots
from attendant_demo.sentiment.phrases import LABELS, load_phrases, typed_reviews
from attendant_demo.sentiment.reviews import Reviewer, held_out, normal
from attendant_demo.sentiment.vocabulary import train_tokenizer

CLAUSES = [f"{side}_{kind}" for side in ("good", "bad") for kind in ("part", "special", "phone", "negated", "denied")]
ANY_CLAUSE = {"good", "bad", "good_detail", "bad_detail"}
FROM_WORDS = {"product", "pseudo"}


@pytest.fixture(scope="module")
def training() -> Any:
    return list(Reviewer("train", 5).reviews(6000))


def test_the_same_seed_composes_the_same_reviews(training: Any) -> None:
    assert list(Reviewer("train", 5).reviews(6000)) == training
    assert list(Reviewer("train", 6).reviews(6000)) != training


def test_labels_are_balanced_and_reviews_differ(training: Any) -> None:
    assert set(Counter(review.label for review in training).values()) == {2000}
    assert len({review.normal() for review in training}) > 5000
    assert {review.label for review in training if not review.clear} == set(LABELS)


def test_every_slot_can_be_filled() -> None:
    lists = load_phrases().lists
    for name, splits in lists.items():
        for line in itertools.chain(*splits.values()):
            assert slots(line.pattern) <= lists.keys() | ANY_CLAUSE | FROM_WORDS, f"{name}: {line.text}"


def test_no_phrasing_is_in_both_splits() -> None:
    phrases = load_phrases()
    for name, splits in phrases.lists.items():
        if name not in phrases.shared:
            assert not {line.text for line in splits["train"]} & {line.text for line in splits["held_out"]}, name
    assert not phrases.shared & {*CLAUSES, "fact", "okay", "mixed", "pair_good", "pair_bad", "part", "person", "very"}


@pytest.mark.parametrize("name", [*CLAUSES, "fact", "okay", "mixed"])
def test_about_one_clause_in_ten_is_held_out(name: str) -> None:
    splits = load_phrases().lists[name]
    held = len(splits["held_out"])
    assert held >= 1
    assert 0.04 <= held / (held + len(splits["train"])) <= 0.11


def test_held_out_names_are_words_that_training_never_has(training: Any) -> None:
    said = {word for review in Reviewer("train", 3).reviews(20_000) for word in review.normal().split()}
    lists = load_phrases().lists
    for name in ("part", "parts", "very", "person"):
        for line in lists[name]["held_out"]:
            assert not line.words() <= said, line.text


def test_held_out_reviews_are_not_training_reviews(training: Any) -> None:
    known = {review.normal() for review in training}
    reviews = held_out(1, 900, known)
    assert len(reviews) > 800
    assert not known & {review.normal() for review in reviews}
    assert min(Counter(review.label for review in reviews).values()) > 250


def test_typed_reviews_are_of_every_label_and_not_composed(training: Any) -> None:
    typed = typed_reviews()
    assert len(typed) >= 60
    assert min(Counter(label for label, _ in typed).values()) >= 18
    assert {label for label, _ in typed} == set(LABELS)
    known = {review.normal() for review in training}
    assert sum(normal(text) in known for _, text in typed) <= 6


def test_the_vocabulary_depends_on_the_texts_alone(training: Any) -> None:
    texts = [review.text for review in training]
    tokenizer = train_tokenizer(texts, 2000)
    assert train_tokenizer(reversed(texts), 2000).get_vocab() == tokenizer.get_vocab()
    assert sorted(tokenizer.get_vocab().values()) == list(range(2000))
    assert tokenizer.tokenize("The Battery, naïve!") == ["the", "battery", ",", *tokenizer.tokenize("naive"), "!"]
    assert tokenizer.decode(tokenizer("unheardof").input_ids, skip_special_tokens=True) == "unheardof"
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("hm").input_ids)
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
