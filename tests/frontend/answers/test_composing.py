"""Grammars of forced calls: what they allow is what parsers read, in every format; what they forbid."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from attendant.core.answer_formats import TOOL_FORMATS, AnswerFormats
from attendant.core.errors import InvalidRequest
from attendant.core.grammar import Grammar
from attendant.frontend.answers.composing import WantedCalls, composed
from attendant.frontend.answers.parser import marks_of
from attendant.grammars.compiled import CompiledGrammar, GrammarLimits
from attendant.grammars.words import GrammarWords
from tokenizers import AddedToken, Tokenizer

from tests.frontend.answers.helpers import PARIS, TIME, TOOLS, TWO_CALLS, tell_apart
from tests.synthetic import byte_tokenizer

FORMATS = [name for name in TOOL_FORMATS if name != "none"]
BOTH = frozenset(TOOLS)


@cache
def words(name: str, reasoning: str, marked: bool) -> tuple[Tokenizer, GrammarWords]:
    """Words of a model of a format whose marks are tokens, or spelt."""
    tokenizer = byte_tokenizer()
    if marked:
        marks = sorted(marks_of(AnswerFormats(name, reasoning)) - {"functools[", "<function="})
        special = [mark for mark in marks if mark not in ("<tool_call>", "</tool_call>")]
        tokenizer.add_special_tokens(special)
        tokenizer.add_tokens([AddedToken(mark, special=False) for mark in marks if mark not in special])
    return tokenizer, GrammarWords(tokenizer.to_str(), tokenizer.get_vocab_size())


class Allowed:
    """What a composed grammar allows a model to say."""

    def __init__(
        self,
        name: str,
        reasoning: str = "none",
        calls: WantedCalls | None = None,
        answer: Grammar | None = None,
        *,
        marked: bool = True,
        thinking: bool = False,
    ) -> None:
        self._tokenizer, known = words(name, reasoning, marked)
        added = {token.content: index for index, token in self._tokenizer.get_added_tokens_decoder().items()}
        formats = AnswerFormats(name, reasoning)
        self.grammar = composed(formats, added.get, calls, answer, thinks=reasoning != "none", thinking=thinking)
        self._compiled = CompiledGrammar(self.grammar, known, GrammarLimits(max_mask_s=5.0))

    def __contains__(self, said: str) -> bool:
        matcher = self._compiled.matcher()
        ids = self._tokenizer.encode(said, add_special_tokens=False).ids
        for token in ids:
            if not matcher.consume_token(token):
                return False
        return bool(matcher.is_accepting())


def wanted(*, forced: bool, several: bool = True, strict: frozenset[str] = BOTH, **schemas: Any) -> WantedCalls:
    return WantedCalls(schemas or TOOLS, strict, forced, several)


def written(name: str) -> str:
    """PARIS and TIME as the grammar writes them; harmony's calls end an answer."""
    if name == "harmony":
        return TWO_CALLS[name].partition("<|call|>")[0]
    said = TWO_CALLS[name]
    return {
        "llama3_json": said.removeprefix("<|python_tag|>"),
        "llama_pythonic": '[get_weather(city="Paris", days=3), get_time()]',
        "mistral": said.replace(', "id": "abcdefghi"', "").replace(', "id": "123456789"', ""),
        "mistral_args": said.replace("[CALL_ID]abcdefghi", ""),
        "granite": said.replace('{"arguments": {}, "name": "get_time"}', '{"name": "get_time", "arguments": {}}'),
    }.get(name, said)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_forced_calls_are_those_that_parsers_read(name: str, marked: bool) -> None:
    allowed, one = Allowed(name, calls=wanted(forced=True), marked=marked), written(name)
    assert one in allowed
    assert tell_apart(one, name).calls == ((PARIS, TIME) if name != "harmony" else (PARIS,))
    assert "Paris it is." not in allowed
    assert "" not in allowed
    assert one.replace("get_weather", "get_wether") not in allowed
    assert one.replace("Paris", "Paris\\") not in allowed or name == "qwen3_coder"
    assert one.replace("3", "three") not in allowed
    assert one.replace("city", "town") not in allowed
    single = Allowed(name, calls=wanted(forced=True, several=False), marked=marked)
    assert (one in single) == (name == "harmony")
    only = Allowed(name, calls=wanted(forced=True, get_time=TOOLS["get_time"]), marked=marked)
    assert one not in only


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_forced_call_leaves_out_may_be_missing_and_what_it_needs_may_not(name: str) -> None:
    allowed = Allowed(name, calls=wanted(forced=True))
    shorter = written(name).replace(', "days": 3', "").replace(", days=3", "")
    shorter = shorter.replace("<parameter=days>\n3\n</parameter>\n", "")
    assert shorter in allowed
    without = shorter.replace('"city": "Paris"', "").replace('city="Paris"', "")
    without = without.replace("<parameter=city>\nParis\n</parameter>\n", "")
    assert without not in allowed


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_strict_calls_between_texts(name: str, marked: bool) -> None:
    allowed, calls = Allowed(name, calls=wanted(forced=False), marked=marked), written(name)
    text = "Let me see.\n"
    if name == "harmony":
        before, after = f"<|channel|>commentary<|message|>{text}<|end|><|start|>assistant", ""
        assert f"<|channel|>final<|message|>{text}" in allowed
    else:
        before, after = ("", "") if name in ("llama3_json", "llama_pythonic") else (text, "\nSo.")
        assert text in allowed
        assert "" in allowed
    assert f"{before}{calls}{after}" in allowed
    assert f"{before}{calls}{after}".replace("get_weather", "get_wether") not in allowed
    assert f"{before}{calls}{after}".replace("city", "town") not in allowed


@pytest.mark.parametrize("name", FORMATS)
def test_thoughts_come_before_calls_and_answers(name: str) -> None:
    reasoning = "harmony" if name == "harmony" else "think"
    allowed = Allowed(name, reasoning, wanted(forced=True))
    thought = "<think>\nHm, 1 < 2.\n</think>\n\n"
    if name == "harmony":
        thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
    assert f"{thought}{written(name)}" in allowed
    assert written(name) in allowed
    assert thought not in allowed
    schema = Grammar("json_schema", json.dumps({"type": "object", "required": ["a"]}))
    answers = Allowed(name, reasoning, None, schema)
    final = "<|channel|>final<|message|>" if name == "harmony" else ""
    assert f'{thought}{final}{{"a": 1}}' in answers
    assert f'{final}{{"a": 1}}' in answers
    assert f"{thought}{final}{{}}" not in answers
    assert answers.grammar.said_as == "grammar.json_schema"


@pytest.mark.parametrize("marked", [True, False])
def test_thoughts_that_the_prompt_has_begun_have_to_end(marked: bool) -> None:
    allowed = Allowed("hermes", "think", None, Grammar("choice", choices=("yes", "no")), marked=marked, thinking=True)
    assert "Hm.\n</think>\n\nyes" in allowed
    assert "yes" not in allowed
    assert "Hm.</think>perhaps" not in allowed


@pytest.mark.parametrize(
    ("answer", "good", "bad"),
    [
        (Grammar("json_object"), '{"a": [1]}', "[1]"),
        (Grammar("regex", "[a-c]/+"), "b//", "d/"),
        (Grammar("choice", choices=("a", "b\n")), "b\n", "c"),
        (Grammar("lark", 'start: "x" more\nmore: "y"*'), "xyy", "y"),
        (Grammar("gbnf", 'root ::= "x" [0-9]+'), "x12", "12"),
    ],
)
def test_every_kind_of_answer_stands_beside_calls_and_behind_thoughts(answer: Grammar, good: str, bad: str) -> None:
    allowed = Allowed("hermes", "think", wanted(forced=False), answer)
    for thought in ("", "<think>\nHm.\n</think>\n"):
        assert f"{thought}{good}" in allowed
        assert f"{thought}{bad}" not in allowed
        assert f"{thought}{written('hermes')}" in allowed


def test_what_a_grammar_cannot_say_is_left_out_of_tools_that_are_not_strict() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    Allowed("hermes", calls=wanted(forced=True, strict=frozenset(), tool=schema))
    with pytest.raises(InvalidRequest, match="uniqueItems") as caught:
        Allowed("hermes", calls=wanted(forced=True, strict=frozenset(("tool",)), tool=schema))
    assert caught.value.field == "tools"


def test_references_within_a_tool_are_followed_wherever_its_arguments_are_written() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/day"}}, "required": ["a"], "$defs": {"day": {"type": "integer"}}}
    for name, said in (
        ("llama_pythonic", "[tool(a=5)]"),
        ("qwen3_coder", "<tool_call>\n<function=tool>\n<parameter=a>\n5\n</parameter>\n</function>\n</tool_call>"),
    ):
        allowed = Allowed(name, calls=wanted(forced=True, tool=schema))
        assert said in allowed
        assert said.replace("5", '"5"') not in allowed


def test_values_of_python_and_choices_of_text() -> None:
    schema = {
        "properties": {"yes": {"type": "boolean"}, "unit": {"type": "string", "enum": ["C", "F"]}, "x": {}},
        "required": ["unit"],
    }
    python = Allowed("llama_pythonic", calls=wanted(forced=True, tool=schema))
    assert '[tool(yes=True, unit="C", x=[1])]' in python
    assert '[tool(unit="C")]' in python
    assert '[tool(unit="K")]' not in python
    assert '[tool(yes=true, unit="C")]' not in python
    tags = Allowed("qwen3_coder", calls=wanted(forced=True, tool=schema))
    said = "<tool_call>\n<function=tool>\n<parameter=unit>\nC\n</parameter>\n</function>\n</tool_call>"
    assert said in tags
    assert said.replace("C", "K") not in tags


@pytest.mark.parametrize("choices", [5, {"b": 1}, []])
def test_choices_of_text_that_are_none_are_refused(choices: Any) -> None:
    schema = {"properties": {"unit": {"type": "string", "enum": choices}}, "required": ["unit"]}
    for name in ("qwen3_coder", "llama_pythonic", "hermes"):
        with pytest.raises(InvalidRequest) as caught:
            Allowed(name, calls=wanted(forced=True, tool=schema))
        assert caught.value.field == "tools"


def test_arguments_are_an_object_though_the_schema_does_not_say_so() -> None:
    for schema in ({}, {"properties": {"a": {"type": "integer"}}}):
        allowed = Allowed("hermes", calls=wanted(forced=True, tool=schema))
        said = '<tool_call>\n{"name": "tool", "arguments": {"a": 5}}\n</tool_call>'
        assert said in allowed
        for value in ("5", '"a"', "[5]", "null"):
            assert said.replace('{"a": 5}', value) not in allowed


@pytest.mark.parametrize(("name", "key"), [("llama_pythonic", "my key"), ("qwen3_coder", "a>b"), ("qwen3_coder", " a")])
def test_names_that_a_format_cannot_write_are_refused(name: str, key: str) -> None:
    with pytest.raises(InvalidRequest, match=r"tools have an argument .*, which the model's format") as caught:
        Allowed(name, calls=wanted(forced=True, tool={"properties": {key: {"type": "string"}}}))
    assert caught.value.field == "tools"


def test_a_name_of_two_words_between_tags() -> None:
    schema = {"type": "object", "properties": {"my key": {"type": "string"}}, "required": ["my key"]}
    said = "<tool_call>\n<function=tool>\n<parameter=my key>\na\n</parameter>\n</function>\n</tool_call>"
    assert said in Allowed("qwen3_coder", calls=wanted(forced=True, tool=schema))
    assert tell_apart([said], "qwen3_coder", schemas={"tool": schema}).calls == (("tool", {"my key": "a"}),)
