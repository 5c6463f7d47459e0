"""The file of prompts: what a line may say, and what is said of one that cannot be used."""

from __future__ import annotations

import json

import pytest
from attendant.client.compare.cases import BadCase, Case, parse_case, read_cases

LINES = """
{"text": "Hello", "answer": "Hi", "reference": "Hi!", "max_tokens": 3}

{"chat": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]}
{"text": "the dog", "source_language": "en", "target_language": "fr"}
{"text": "fine", "label": "positive"}
{"text": "a cat", "pair": "a dog", "score": 3}
"""


def test_a_golden_file() -> None:
    assert read_cases(LINES.splitlines(), "f") == [
        Case("Hello", answer="Hi", reference="Hi!", max_tokens=3),
        Case(chat=(("system", "Be kind."), ("user", "Hello"))),
        Case("the dog", source_language="en", target_language="fr"),
        Case("fine", label="positive"),
        Case("a cat", pair="a dog", score=3.0),
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "needs text or chat, and not both"),
        ({"text": "a", "chat": [{"role": "user", "content": "b"}]}, "needs text or chat, and not both"),
        ({"txt": "a"}, "there is no field 'txt'; allowed: text, chat, answer, reference, label, pair, score"),
        ({"text": 3}, "text is 3; allowed: a text"),
        ({"text": "a", "label": None}, "label is None; allowed: a text"),
        ({"chat": []}, r"chat is \[\]; allowed: a list of messages"),
        ({"chat": [{"role": "user"}]}, r"chat\[0\] is .*; allowed: role and content, both texts"),
        ({"text": "a", "score": 1}, "score is 1; allowed: a number, beside pair"),
        ({"text": "a", "pair": "b", "score": True}, "score is True; allowed: a number"),
        ({"text": "a", "max_tokens": 0}, "max_tokens is 0; allowed: a whole number of at least 1"),
        ({"text": "a", "max_tokens": 1.5}, "max_tokens is 1.5"),
        ([], "is no JSON object"),
    ],
)
def test_lines_that_cannot_be_used_say_why(values: object, told: str) -> None:
    with pytest.raises(BadCase, match=told):
        parse_case(json.dumps(values))


def test_the_line_is_named() -> None:
    with pytest.raises(BadCase, match=r"^f\.jsonl:3: is not JSON"):
        read_cases(['{"text": "a"}', "", "{"], "f.jsonl")
    with pytest.raises(BadCase, match=r"^f\.jsonl: has no prompts"):
        read_cases([" "], "f.jsonl")


def test_requests_are_greedy_and_in_the_models_form() -> None:
    case = Case("Hello", source_language="en")
    plain = case.generate_request("m", 7, chats=False, translates=False)
    assert (plain.text, plain.sampling.temperature, plain.stopping.max_tokens) == ("Hello", 0, 7)
    assert plain.sampling.HasField("temperature")
    (message,) = case.generate_request("m", 7, chats=True, translates=False).chat.messages
    assert (message.role, message.content) == ("user", "Hello")
    translated = case.generate_request("m", 7, chats=False, translates=True)
    assert (translated.text, translated.translation.source_language) == ("Hello", "en")
    assert Case("a", max_tokens=2).generate_request("m", 7, chats=False, translates=False).stopping.max_tokens == 2
