"""Calls of tools that have to come, and what comes after thoughts: from a model that would say anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, Tool, ToolCallDelta, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, Delta, Finish, GenerationCall, TextPrompt
from attendant.core.grammar import Grammar
from attendant.core.request import FinishReason
from attendant.frontend.answers.told import joined
from attendant.frontend.generation.service import GenerationService

from tests.frontend.generation.helpers import with_service
from tests.synthetic import TOOLS_TEMPLATE, make_synthetic_bundle

NUMBER = {"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"], "additionalProperties": False}
WORD = {"type": "object", "properties": {"w": {"enum": ["a", "é"]}}, "required": ["w"], "additionalProperties": False}


def tool(name: str, parameters: dict[str, Any], *, strict: bool = False) -> Tool:
    function = {"name": name, "parameters": parameters, "strict": strict}
    return Tool(name, {"type": "function", "function": function})


TOOLS = (tool("count", NUMBER), tool("say", WORD))
CHAT = ChatPrompt((ChatMessage("user", "Do."),), tools=TOOLS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", context_length=512, chat_template=TOOLS_TEMPLATE)


async def answers(service: GenerationService, **fields: Any) -> list[tuple[str, list[ToolCallDelta], Finish]]:
    call = GenerationCall("", **{"prompt": CHAT, "max_tokens": 300, "temperature": 1.0, "seed": 1, **fields})
    texts, calls, ends = [""] * call.n, [list[ToolCallDelta]() for _ in range(call.n)], list[Finish]()
    async for part in service.generate(call):
        if isinstance(part, Delta):
            texts[part.index] += part.text
            calls[part.index] += part.tool_calls
        else:
            ends.append(part)
    ends.sort(key=lambda end: end.index)
    return [(text, list(joined(told)), end) for text, told, end in zip(texts, calls, ends, strict=True)]


def fits(calls: Sequence[ToolCallDelta]) -> bool:
    values = {"count": ("n", (1, 22)), "say": ("w", ("a", "é"))}
    for call in calls:
        key, allowed = values[call.name]
        (found,) = json.loads(call.arguments).items()
        if found[0] != key or found[1] not in allowed:
            return False
    return bool(calls)


@pytest.mark.parametrize("name", ["", "hermes", "llama3_json", "mistral_args", "llama_pythonic", "qwen3_coder"])
def test_a_call_that_is_required_comes_whatever_the_model_would_say(bundle: Path, name: str) -> None:
    async def test(service: GenerationService) -> None:
        choice = ToolChoice("required", parallel=False)
        for fields in ({"n": 3}, {"temperature": 0.0, "beam_search": BeamCall(2)}, {"temperature": 0.0, "whole": True}):
            for text, calls, end in await answers(service, tool_choice=choice, tool_format=name, **fields):
                assert fits(calls)
                assert (text, len(calls), end.num_tool_calls, end.unparsed) == ("", 1, 1, False)
                assert end.reason is FinishReason.STOP

    assert with_service(bundle, test) == []


def test_a_named_tool_is_called_once_and_no_other(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        for name in ("count", "say"):
            choice = ToolChoice("named", (name,))
            for _, calls, end in await answers(service, tool_choice=choice, n=4):
                assert fits(calls)
                assert ([call.name for call in calls], end.num_tool_calls) == ([name], 1)

    assert with_service(bundle, test) == []


def test_only_names_that_may_be_called_are(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        choice = ToolChoice("required", ("say",))
        for _, calls, _ in await answers(service, tool_choice=choice, n=4):
            assert {call.name for call in calls} == {"say"}

    assert with_service(bundle, test) == []


def test_a_forced_call_that_max_tokens_cuts_is_text(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        ((text, calls, end),) = await answers(service, tool_choice=ToolChoice("required"), max_tokens=20, whole=True)
        assert '<tool_call>\n{"name": '.startswith(text[:21])
        assert (calls, end.reason, end.num_tool_calls, end.unparsed) == ([], FinishReason.LENGTH, 0, True)

    assert with_service(bundle, test) == []


def test_the_text_of_a_forced_call_can_be_had_as_it_is(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        choice = ToolChoice("named", ("count",))
        ((text, calls, end),) = await answers(service, tool_choice=choice, separate=False)
        assert text.startswith('<tool_call>\n{"name": "count", "arguments": ')
        assert (calls, end.num_tool_calls) == ([], 0)

    assert with_service(bundle, test) == []


def test_an_answer_with_tools_is_a_call_or_fits_the_schema(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        schema = Grammar("json_schema", json.dumps({"enum": ["yes", "no"]}))
        kinds = set()
        for text, calls, end in await answers(service, grammar=schema, tool_format="hermes", n=16, temperature=3.0):
            kinds.add(bool(calls))
            if end.reason is FinishReason.STOP:
                assert bool(calls) != (text in ('"yes"', '"no"'))
        assert kinds == {True, False}

    assert with_service(bundle, test, max_num_seqs=16, max_queue=16) == []


@pytest.mark.parametrize("name", ["llama_pythonic", "qwen3_coder"])
def test_calls_that_come_beside_a_grammar_have_arguments(bundle: Path, name: str) -> None:
    async def test(service: GenerationService) -> None:
        fields = {"grammar": Grammar("choice", choices=("yes", "no")), "tool_format": name, "temperature": 3.0}
        found = [calls for _, calls, end in await answers(service, **fields, n=16) if end.num_tool_calls]
        assert found
        assert all(map(fits, found))

    assert with_service(bundle, test, max_num_seqs=16, max_queue=16) == []


def test_thoughts_pass_before_a_grammar_begins(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        choices = Grammar("choice", choices=("yes", "no"))
        prompt = ChatPrompt((ChatMessage("user", "Do."), ChatMessage("assistant", "<think>\nHm")), continues=True)
        fields = {"prompt": prompt, "grammar": choices, "reasoning_format": "think", "separate": True}
        ids = tuple(range(262))
        bias = dict.fromkeys(ids, 0.0)
        for text, _, end in await answers(service, **fields, logit_bias=bias, n=2, max_tokens=40):
            assert end.reason is FinishReason.LENGTH or text in ("yes", "no")
        plain = {**fields, "prompt": TextPrompt("Do."), "separate": None}
        ((text, _, _),) = await answers(service, **plain)
        assert text in ("yes", "no")

    assert with_service(bundle, test) == []


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prompt": replace(CHAT, tools=(tool("f", {"properties": {"a": {"type": 5}}}),))}, "tools", "type"),
        ({"tool_format": "none"}, "tool_format", "asks for a call"),
        (
            {"forced_answer": (70,), "max_tokens": None, "temperature": None, "seed": None},
            "tool_choice",
            "leave it out",
        ),
    ],
)
def test_what_cannot_be_forced_is_refused_by_name(bundle: Path, fields: dict[str, Any], field: str, words: str) -> None:
    async def test(service: GenerationService) -> None:
        with pytest.raises(InvalidRequest, match=words) as caught:
            await answers(service, tool_choice=ToolChoice("required"), **fields)
        assert caught.value.field == field

    assert with_service(bundle, test) == []
