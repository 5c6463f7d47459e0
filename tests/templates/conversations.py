"""Conversations for a template, drawn by hypothesis, and how somebody with transformers writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall
from hypothesis import strategies as st

from tests.templates import Published

_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x00")
_TEXT = st.one_of(
    st.text(_CHARACTERS, min_size=1, max_size=12),
    st.sampled_from(("Where is my order?", " two  spaces ", "{{ x }}", '"quoted" \\ <tag> é', "line\nbreak\n", "漢字")),
)
_WORD = st.text("abcdefgh_", min_size=1, max_size=6)
_SCHEMA = st.fixed_dictionaries(
    {"type": st.sampled_from(("string", "integer", "number", "boolean", "array"))},
    optional={"description": _TEXT, "enum": st.lists(_WORD, min_size=1, max_size=2)},
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 10**12), st.floats(-5, 5), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_WORD, inner, max_size=2)),
    max_leaves=4,
)


@st.composite
def tools(draw: st.DrawFn) -> Tool:
    """A tool; the keys of its definition stand in any order."""
    name = draw(_WORD)
    parameters = draw(st.dictionaries(_WORD, _SCHEMA, max_size=2))
    required = [*parameters] if draw(st.booleans()) else []
    schema = {"type": "object", "properties": parameters, "required": required}
    parts: list[tuple[str, Any]] = [("name", name), ("description", draw(_TEXT)), ("parameters", schema)]
    return Tool(name, {"type": "function", "function": dict(draw(st.permutations(parts)))})


@st.composite
def conversations(draw: st.DrawFn, published: Published) -> ChatPrompt:
    """A conversation that the template takes, with all that it knows."""
    messages = _opening(draw, published)
    for _ in range(draw(st.integers(1, 3))):
        messages.append(ChatMessage("user", draw(_content(published))))
        if published.calls and draw(st.booleans()):
            messages += _calls(draw, published)
        messages.append(_answer(draw, published))
    if draw(st.booleans()) or published.takes_turns:
        messages.append(ChatMessage("user", draw(_TEXT)))
    return ChatPrompt(
        tuple(messages),
        tools=tuple(draw(st.lists(tools(), max_size=2))) if published.tools else (),
        documents=tuple(draw(st.lists(_document(), max_size=2))) if published.documents else (),
        variables={name: draw(st.sampled_from(values)) for name, values in published.variables if draw(st.booleans())},
        adds_generation_prompt=draw(st.booleans()),
    )


@st.composite
def begun_answers(draw: st.DrawFn, published: Published) -> ChatPrompt:
    """A conversation whose last message is to be continued: something said or thought, empty, or ending in spaces."""
    chat = draw(conversations(published))
    messages = chat.messages if chat.messages[-1].role == "user" else (*chat.messages, ChatMessage("user", "And?"))
    spaces = draw(st.sampled_from(("", " ", "\n", " \n ")))
    said = draw(st.one_of(_content(published), st.just(""), _TEXT.map(lambda text: text + spaces), st.none()))
    thought = draw(_TEXT) + spaces if published.reasoning and draw(st.booleans()) else ""
    return replace(chat, messages=(*messages, ChatMessage("assistant", said, reasoning=thought)), continues=True)


def as_transformers_has_it(prompt: ChatPrompt) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages, and what else is passed to apply_chat_template, as its documentation writes them."""
    asked: dict[str, Any] = {**prompt.variables, "add_generation_prompt": prompt.adds_generation_prompt}
    if prompt.tools:
        asked["tools"] = [tool.definition for tool in prompt.tools]
    if prompt.documents:
        asked["documents"] = list(prompt.documents)
    if prompt.continues:
        last = prompt.messages[-1]
        said = last.content is not None or not last.reasoning
        asked |= {"continue_final_message": said or "reasoning_content", "add_generation_prompt": False}
    return [_message(message) for message in prompt.messages], asked


def _message(message: ChatMessage) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role}
    if isinstance(message.content, tuple):
        written["content"] = [
            {"type": "text", "text": part.text} for part in message.content if isinstance(part, TextPart)
        ]
    elif message.content is not None:
        written["content"] = message.content
    if message.name:
        written["name"] = message.name
    if message.reasoning:
        written["reasoning_content"] = message.reasoning
    if message.tool_calls:
        written["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        written["tool_call_id"] = message.tool_call_id
    return written


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {**({"id": call.id} if call.id else {}), "type": "function", "function": function}


def with_text_arguments(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as OpenAI has them, and templates that put a call's arguments together as texts."""
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return messages


def _opening(draw: st.DrawFn, published: Published) -> list[ChatMessage]:
    roles = [role for role in published.roles if role in ("system", "developer")]
    if not roles or not draw(st.booleans()):
        return []
    return [ChatMessage(draw(st.sampled_from(roles)), draw(_TEXT))]


def _content(published: Published) -> st.SearchStrategy[str | tuple[TextPart, ...]]:
    parts = st.lists(_TEXT.map(TextPart), min_size=1, max_size=2).map(tuple)
    return st.one_of(_TEXT, parts) if published.parts else _TEXT


def _calls(draw: st.DrawFn, published: Published) -> list[ChatMessage]:
    ids = [f"call{number:05d}" for number in range(draw(st.integers(1, published.calls)))]
    calls = [
        ToolCall(draw(_WORD), json.dumps(draw(st.dictionaries(_WORD, _JSON, max_size=3)), ensure_ascii=False), each)
        for each in ids
    ]
    results = [ChatMessage("tool", draw(_TEXT), calls[place].name, tool_call_id=each) for place, each in enumerate(ids)]
    return [ChatMessage("assistant", draw(st.sampled_from((None, ""))), tool_calls=tuple(calls)), *results]


def _answer(draw: st.DrawFn, published: Published) -> ChatMessage:
    return ChatMessage(
        "assistant", draw(_TEXT), reasoning=draw(_TEXT) if published.reasoning and draw(st.booleans()) else ""
    )


@st.composite
def _document(draw: st.DrawFn) -> dict[str, Any]:
    return {"title": draw(_TEXT), "text": draw(_TEXT), **({"doc_id": draw(_WORD)} if draw(st.booleans()) else {})}
