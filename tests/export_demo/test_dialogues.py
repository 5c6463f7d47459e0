"""Composition: deterministic, splits apart, and every answer recognisable."""

import itertools

import pytest
from attendant_demo import evaluate
from attendant_demo.dialogues import Composer
from attendant_demo.grammar import expand, parse
from attendant_demo.labels import NONE, Labeller
from attendant_demo.phrases import FOLLOW, load_phrases, typed_questions


def test_patterns_expand_and_reject_what_is_wrong() -> None:
    lexicon = {"thing": parse("(order|parcel)", {})}
    assert set(expand(parse("my @thing [<order>] , please", lexicon))) == {
        "my order, please",
        "my parcel, please",
        "my order <order>, please",
        "my parcel <order>, please",
    }
    assert list(expand(parse("write to help@shop.example", {}))) == ["write to help@shop.example"]
    for wrong in ("(a|b", "a)", "[a", "@unknown word"):
        with pytest.raises(ValueError, match=r"unbalanced|lexicon"):
            parse(wrong, lexicon)


def test_the_same_seed_composes_the_same_dialogues() -> None:
    first, again, other = (list(Composer("train", seed).dialogues(300)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_no_phrasing_is_in_both_splits() -> None:
    for intent in load_phrases().intents.values():
        train = set(intent.questions["train"])
        assert train
        assert not train & set(intent.questions["held_out"])


def test_held_out_questions_are_not_training_questions() -> None:
    known = evaluate.normal_questions(list(Composer("train", 5).dialogues(2000)))
    asked = evaluate.held_out(1, 3, known)
    assert len({dialogue.turns[0].label for dialogue in asked}) >= 35
    assert not known & {dialogue.turns[0].normal_question() for dialogue in asked}


def test_every_composed_answer_is_labelled_with_its_own_intent() -> None:
    labeller = Labeller()
    turns = itertools.chain.from_iterable(dialogue.turns for dialogue in Composer("train", 9).dialogues(500))
    assert [turn for turn in turns if labeller.label(turn.answer) != turn.label] == []
    assert labeller.label("My orders order order delivery the a of and and") == NONE
    assert labeller.label("") == NONE


def test_answers_name_the_order_of_the_question() -> None:
    turns = [turn for dialogue in Composer("train", 4).dialogues(500) for turn in dialogue.turns]
    named = [turn for turn in turns if "order" in turn.values]
    assert len(named) > 50
    assert all(f"order {turn.values['order']}" in turn.answer for turn in named)


def test_intents_are_complete() -> None:
    intents = load_phrases().intents
    for name, intent in intents.items():
        assert bool(intent.answers) != name.startswith(FOLLOW), name
        assert all(FOLLOW + kind in intents for kind in intent.follow_ups)
        if intent.answers:
            assert any(not answer.needs for answer in intent.answers), f"{name} needs an answer without slots"
    assert {intent for intent, _ in typed_questions()} <= intents.keys()
