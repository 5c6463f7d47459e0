"""OpenAI's client, asking for objects and calls of tools: sota.md 3, rows 5, 6 and 8, and answers that fit schemas."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import anthropic
import jsonschema
import openai
import pytest
from pydantic import BaseModel

from tests.clients.asked import QUESTION

SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"enum": [1, 2, 3]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
ASKED: Any = {
    "model": "slow",
    "messages": [{"role": "user", "content": QUESTION}],
    "temperature": 0,
    "max_tokens": 1000,
}
NAMED: Any = {"type": "function", "function": {"name": "weather"}}


class Stay(BaseModel):
    """What an answer is made into."""

    city: Literal["Oslo", "Rome"]
    days: Literal[1, 2, 3]


@pytest.mark.parametrize(("choice", "reason"), [(NAMED, "stop"), ("required", "tool_calls")], ids=["named", "required"])
def test_a_tool_is_called_the_same_whole_and_streamed(client: openai.OpenAI, choice: Any, reason: str) -> None:
    said: Any = {**ASKED, "tools": [WEATHER], "tool_choice": choice, "parallel_tool_calls": False}
    whole = client.chat.completions.create(**said).choices[0]
    (call,) = whole.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, whole.finish_reason) == ("weather", reason)
    assert isinstance(call.function.arguments, str)
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    with client.chat.completions.create(**said, stream=True) as stream:
        chunks = list(stream)
    choices = [each for chunk in chunks for each in chunk.choices]
    pieces = [piece for each in choices for piece in each.delta.tool_calls or []]
    assert {piece.index for piece in pieces} == {0}
    assert [bool(piece.id) for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert "".join(piece.function.arguments or "" for piece in pieces if piece.function) == call.function.arguments
    assert [each.finish_reason for each in choices if each.finish_reason] == [reason]
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_model_whose_template_shows_no_tools_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ASKED | {"model": "demo"}, tools=[WEATHER])
    assert caught.value.param == "tools"


def test_objects_of_pydantic(client: openai.OpenAI) -> None:
    found = client.chat.completions.parse(**ASKED, response_format=Stay).choices[0].message.parsed
    assert isinstance(found, Stay)
    with client.chat.completions.stream(**ASKED, response_format=Stay) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == found
    text: Any = {"model": "slow", "input": QUESTION, "temperature": 0, "max_output_tokens": 1000}
    assert client.responses.parse(**text, text_format=Stay).output_parsed == found


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"choice": ["yes", "no"]}, "yes|no"),
        ({"regex": "[a-c]{3}x"}, "[a-c]{3}x"),
        ({"grammar": 'start: "ab" | "cd"'}, "ab|cd"),
    ],
    ids=["choice", "regex", "grammar"],
)
def test_texts_of_a_form(client: openai.OpenAI, wanted: Any, fits: str) -> None:
    found = client.chat.completions.create(**ASKED, extra_body={"structured_outputs": wanted}).choices[0]
    assert found.finish_reason == "stop"
    assert re.fullmatch(fits, found.message.content or "")


def test_completions_fit_a_schema_too(client: openai.OpenAI) -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "stay", "schema": SCHEMA}}
    asked: Any = {"model": "slow", "prompt": QUESTION, "temperature": 0, "max_tokens": 1000}
    (choice,) = client.completions.create(**asked, extra_body={"response_format": shape}).choices
    jsonschema.validate(json.loads(choice.text), SCHEMA)


def test_one_that_is_cut_says_so(client: openai.OpenAI) -> None:
    shape: Any = {"type": "json_schema", "json_schema": {"name": "stay", "schema": SCHEMA, "strict": True}}
    (choice,) = client.chat.completions.create(**ASKED | {"max_tokens": 3}, response_format=shape).choices
    assert choice.finish_reason == "length"


def test_anthropics_client_forces_a_tool(claude: anthropic.Anthropic) -> None:
    asked: Any = {name: value for name, value in ASKED.items() if name != "temperature"}
    tool: Any = {"name": "weather", "input_schema": SCHEMA}
    choice: Any = {"type": "tool", "name": "weather"}
    message = claude.messages.create(**asked, tools=[tool], tool_choice=choice)
    (use,) = (block for block in message.content if block.type == "tool_use")
    jsonschema.validate(use.input, SCHEMA)
    assert (use.name, message.stop_reason) == ("weather", "tool_use")


def test_a_schema_that_cannot_be_held_is_refused(client: openai.OpenAI) -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    for schema, field in (({"type": "string", "pattern": "(?=a)b"}, "response_format"), (deep, "body")):
        shape: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**ASKED, response_format=shape)
        assert (caught.value.param or "").startswith(field)
