"""The phrase book: right French, one translation for each sentence, what training never sees; a short training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from attendant_demo.translator import evaluate, french, numbers
from attendant_demo.translator.composer import Composer, normal
from attendant_demo.translator.pairs import WordPairs
from attendant_demo.translator.train import TrainSettings, build_model, train
from attendant_demo.translator.translate import torch_translator
from attendant_demo.translator.vocabulary import train_tokenizer
from attendant_demo.translator.words import lexicon
from transformers import AutoTokenizer, MarianMTModel

SETTINGS = TrainSettings(
    num_examples=1500,
    batch_tokens=512,
    vocab_size=600,
    hidden_size=64,
    intermediate_size=64,
    num_layers=1,
    num_heads=2,
    warmup_steps=10,
    bfloat16=False,
)


@pytest.fixture(scope="module")
def examples() -> Any:
    return list(Composer("train", 1).examples(6000))


@pytest.fixture(scope="module")
def tokenizer(examples: Any) -> Any:
    return train_tokenizer(examples[:2000], SETTINGS.vocab_size)


@pytest.mark.parametrize(
    ("raw", "spelled"),
    [
        ("je ai le eau de le hôtel .", "J'ai l'eau de l'hôtel ."),
        ("je vais à le musée , à les États-Unis .", "Je vais au musée , aux États-Unis ."),
        ("la clé de les *hamburgers de le *hamburger", "La clé des hamburgers du hamburger"),
        ("je viens de le_ voir", "Je viens de le voir"),
        ("pouvez-vous le_ aider", "Pouvez-vous l'aider"),
        ("est-ce que il ne a pas de œufs", "Est-ce qu'il n'a pas d'œufs"),
        ("ma amie et ma ancienne voiture", "Mon amie et mon ancienne voiture"),
        ("ce_d hôtel et ce_d train", "Cet hôtel et ce train"),
        ("si il pleut, si elle dort", "S'il pleut, si elle dort"),
        ("allez jusque à le pont, jusque à la gare", "Allez jusqu'au pont, jusqu'à la gare"),
        ("à huit heures, le onze mai", "À huit heures, le onze mai"),
    ],
)
def test_words_that_meet(raw: str, spelled: str) -> None:
    assert french.spell(raw) == spelled


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (21, "vingt et un"),
        (61, "soixante et un"),
        (70, "soixante-dix"),
        (71, "soixante et onze"),
        (80, "quatre-vingts"),
        (81, "quatre-vingt-un"),
        (91, "quatre-vingt-onze"),
        (99, "quatre-vingt-dix-neuf"),
        (100, "cent"),
        (200, "deux cents"),
        (285, "deux cent quatre-vingt-cinq"),
    ],
)
def test_numbers(number: int, words: str) -> None:
    assert numbers.french_words(number) == words


def test_forms() -> None:
    words = lexicon()
    adjectives = {adjective.english: adjective for adjective in words.adjectives}
    assert adjectives["beautiful"].forms == ("beau", "belle", "beaux", "belles")
    assert adjectives["expensive"].forms == ("cher", "chère", "chers", "chères")
    assert adjectives["happy"].forms == ("heureux", "heureuse", "heureux", "heureuses")
    verbs = {verb.english: verb for kind in words.verbs.values() for verb in kind}
    assert verbs["finish"].present == ("finis", "finit", "finissons", "finissez", "finissent")
    assert verbs["eat"].present[2] == "mangeons"
    assert verbs["sell"].present == ("vends", "vend", "vendons", "vendez", "vendent")
    nouns = {noun.name: noun for kind in words.nouns.values() for noun in kind}
    assert nouns["gift"].french == ("cadeau", "cadeaux")
    assert nouns["horse"].french == ("cheval", "chevaux")
    assert nouns["train ticket"].french == ("billet de train", "billets de train")


def test_a_sentence_has_one_translation(examples: Any) -> None:
    found: dict[str, Any] = {}
    for example in examples:
        key = example.english.lower().rstrip(".?")
        assert found.setdefault(key, example.french) == example.french, key
    assert len(found) > len(examples) * 0.8


def test_nothing_raw_is_left(examples: Any) -> None:
    for example in examples:
        assert not set(example.french) & set("_*{}|()"), example
        assert "  " not in example.french, example
        assert example.french[-1] in ".?!", example
        assert not any(part in f" {example.french.lower()}" for part in (" de le ", " à le ", " de les ", " à les "))


def test_the_same_seed_gives_the_same() -> None:
    assert list(Composer("train", 5).examples(50)) == list(Composer("train", 5).examples(50))


def test_held_out_sentences_are_not_in_training(examples: Any) -> None:
    held_out = {normal(example.english) for example in Composer("held_out", 2).examples(300)}
    assert not held_out & {normal(example.english) for example in examples}


def test_new_pairs_are_not_in_training(examples: Any) -> None:
    old = WordPairs(new=False)
    words = lexicon()
    names = {noun.name for kind in words.nouns.values() for noun in kind}
    names = {name for name in names if not any(other.startswith(f"{name} ") for other in names)}  # car, car park
    new = {
        f" {adjective.english} {name} ".lower()
        for adjective in words.adjectives
        for name in names
        if not old.allow(adjective.english, name)
    }
    assert len(new) > 800
    trained = "".join(f" {normal(example.english)} |" for example in examples)
    assert not [pair for pair in new if pair in trained]
    composed = "".join(f" {normal(example.english)} |" for example in Composer("new_pairs", 2).examples(500))
    assert sum(pair in composed for pair in new) > 50


def test_typed_sentences_are_spelled_as_the_composer_spells() -> None:
    for example in evaluate.typed():
        assert example.french[-1] in ".?!"


@pytest.mark.parametrize("text", ["Where is platform 9?", "naïve Ω 漢字", "l'œuf, s'il vous plaît !"])
def test_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_what_is_typed_in_several_ways_is_one(tokenizer: Any) -> None:
    assert tokenizer.encode(" I  don\N{RIGHT SINGLE QUOTATION MARK}t\n") == tokenizer.encode("I don't")


def test_a_short_run_lowers_the_loss_and_saves_a_folder(tokenizer: Any, examples: Any, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        model = build_model(SETTINGS, tokenizer)
        losses = train(model, tokenizer, examples[: SETTINGS.num_examples], SETTINGS, lambda line: None)
    finally:
        torch.set_num_threads(threads)
    assert losses[0] > 5
    assert sum(losses[-5:]) / 5 < losses[0] - 1.5
    model.generation_config.update(max_length=12)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, reader = MarianMTModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    config = loaded.generation_config
    assert (config.num_beams, config.forced_eos_token_id, config.bad_words_ids) == (1, None, [[reader.pad_token_id]])
    score = evaluate.score(torch_translator(loaded, reader), examples[:5])
    assert score.examples == 5
    assert len(score.wrong) == round(5 * (1 - score.exact))
