"""Conversations as prompts of calls: which tools the model is shown, and what leaves the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.frontend.generation.apart import with_usable_tools
from attendant.frontend.generation.prompts import LONG_TEXT, num_characters, prepare
from attendant.models.generators import GeneratorPart

from tests.frontend.generation.helpers import load
from tests.synthetic import CHAT_TEMPLATE, make_synthetic_bundle

SHOWS = "{% for t in tools or [] %}[{{ t.function.name }}]{% endfor %}{{ messages[0].content }}"
TOOLS = tuple(Tool(name, {"type": "function", "function": {"name": name}}) for name in ("find", "look"))
HI = (ChatMessage("user", "hi"),)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GeneratorPart:
    return load(make_synthetic_bundle(tmp_path_factory.mktemp("shows") / "bundle", chat_template=SHOWS))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> GeneratorPart:
    return load(make_synthetic_bundle(tmp_path_factory.mktemp("plain") / "bundle", chat_template=CHAT_TEMPLATE))


def prompt_of(model: GeneratorPart, choice: ToolChoice | None) -> str:
    call = with_usable_tools(GenerationCall("", ChatPrompt(HI, tools=TOOLS), tool_choice=choice))
    return model.text.decode(asyncio.run(prepare(model, call)).prompt, skip_special_tokens=False)


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        (None, "[find][look]hi"),
        (ToolChoice(), "[find][look]hi"),
        (ToolChoice("none"), "hi"),
        (ToolChoice("auto", ("look",)), "[look]hi"),
        (ToolChoice("required"), "[find][look]hi"),
        (ToolChoice("named", ("find",)), "[find]hi"),
    ],
)
def test_the_model_is_shown_the_tools_that_it_may_call(model: GeneratorPart, choice: ToolChoice, seen: str) -> None:
    assert prompt_of(model, choice) == seen


def test_tools_that_a_template_does_not_show_can_only_be_forced(plain: GeneratorPart) -> None:
    for choice in (None, ToolChoice()):
        with pytest.raises(InvalidRequest, match=r"^tools are given, and the model's chat template does not show them"):
            prompt_of(plain, choice)
    for choice in (ToolChoice("none"), ToolChoice("required"), ToolChoice("named", ("find",))):
        assert prompt_of(plain, choice) == "<|user|>hi<|end|><|assistant|>"


LONG = "x" * LONG_TEXT


@pytest.mark.parametrize(
    "chat",
    [
        ChatPrompt((ChatMessage("user", LONG),)),
        ChatPrompt((ChatMessage("user", (TextPart("a"), TextPart(LONG))),)),
        ChatPrompt((ChatMessage("assistant", "", reasoning=LONG),)),
        ChatPrompt((ChatMessage("assistant", None, tool_calls=(ToolCall("find", LONG),)),)),
        ChatPrompt(HI, tools=(Tool("find", {"function": {"name": "find", "parameters": {"a": [{"b": LONG}]}}}),)),
        ChatPrompt(HI, documents=({"title": "t", LONG: "x"},)),
        ChatPrompt(HI, variables={"python_tools": [0] * LONG_TEXT}),
        ChatPrompt(HI, given_template=LONG),
    ],
)
def test_all_that_a_template_may_write_counts_as_text(chat: ChatPrompt) -> None:
    assert num_characters(chat) >= LONG_TEXT


def test_a_short_conversation_is_not_worth_a_thread() -> None:
    variables: dict[str, Any] = {"enable_thinking": True, "controls": {"length": "short"}}
    assert num_characters(ChatPrompt(HI, tools=TOOLS, variables=variables)) < LONG_TEXT / 10
