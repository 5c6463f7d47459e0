"""Bodies of Responses: every field of the public schema is honoured, or refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, MediaPart, TextPart, ToolCall, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.grammar import Grammar
from attendant.http.api.bodies import refusal
from attendant.http.api.openai.chat_body import FIELDS as CHAT_FIELDS
from attendant.http.api.openai.responses_body import FIELDS, ResponsesBody, response_call
from openai.types.responses import response_create_params
from pydantic import ValidationError

TOOL = {"type": "function", "name": "find", "parameters": {"type": "object"}, "strict": True, "description": "Finds."}
OTHER = {"type": "function", "name": "look", "parameters": None, "strict": None}


def body_of(**fields: Any) -> ResponsesBody:
    try:
        return ResponsesBody.model_validate_json(json.dumps({"model": "m", "input": "hi", **fields}))
    except ValidationError as error:
        raise refusal(ResponsesBody, error) from None


def call_of(**fields: Any) -> GenerationCall:
    return response_call(body_of(**fields))


def messages_of(*items: dict[str, Any], **fields: Any) -> tuple[ChatMessage, ...]:
    prompt = call_of(input=list(items), **fields).prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt.messages


def test_every_field_of_the_clients_schema_is_declared() -> None:
    base = response_create_params.ResponseCreateParamsBase.__annotations__
    assert {*base, "stream"} <= set(ResponsesBody.model_fields)


def test_the_front_ends_names_are_what_chat_completions_call_them() -> None:
    alike = {own: name for own, name in CHAT_FIELDS.items() if name in ResponsesBody.model_fields}
    assert alike["given_template"] == "chat_template"
    assert alike.items() <= FIELDS.items()


def test_a_plain_call() -> None:
    assert call_of() == GenerationCall("m", ChatPrompt((ChatMessage("user", "hi"),)), whole=True, separate=True)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"max_output_tokens": 7, "temperature": 0.5, "top_p": 0.9},
            {"max_tokens": 7, "temperature": 0.5, "top_p": 0.9},
        ),
        ({"top_k": 4, "seed": 3, "stop": ["x"]}, {"top_k": 4, "seed": 3, "stop": ("x",)}),
        ({"stream": True}, {"whole": False}),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, {"logprobs": 3}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": 0}),
        ({"include": ["reasoning.encrypted_content"]}, {"logprobs": None}),
        ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {"grammar": None}),
        ({"text": {"format": {"type": "json_object"}}}, {"grammar": Grammar("json_object")}),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "null"}, "strict": True}}},
            {"grammar": Grammar("json_schema", '{"type": "null"}')},
        ),
        ({"structured_outputs": {"regex": "a"}}, {"grammar": Grammar("regex", "a")}),
        ({"tools": [TOOL]}, {"tool_choice": ToolChoice()}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tool_choice": ToolChoice(parallel=False)}),
        ({"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": ToolChoice("required")}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "find"}},
            {"tool_choice": ToolChoice("named", ("find",), parallel=False)},
        ),
        (
            {
                "tools": [TOOL, OTHER],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "look"}],
                },
            },
            {"tool_choice": ToolChoice("auto", ("look",))},
        ),
        ({"store": False, "background": False, "truncation": "disabled", "max_tool_calls": 3}, {"n": 1}),
        ({"metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "prompt_cache_key": "k"}, {"n": 1}),
        ({"reasoning": {"summary": "auto", "context": "auto", "mode": "standard"}}, {"n": 1}),
    ],
)
def test_what_a_field_becomes(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    call = call_of(**fields)
    assert {name: getattr(call, name) for name in expected} == expected


def test_templates_see_tools_as_those_of_chat_completions() -> None:
    prompt = call_of(tools=[TOOL, OTHER]).prompt
    assert isinstance(prompt, ChatPrompt)
    function = {"name": "find", "parameters": {"type": "object"}, "strict": True, "description": "Finds."}
    assert [tool.definition for tool in prompt.tools] == [
        {"type": "function", "function": function},
        {"type": "function", "function": {"name": "look"}},
    ]


def test_effort_is_the_conversations() -> None:
    prompt = call_of(reasoning={"effort": "low"}).prompt
    assert isinstance(prompt, ChatPrompt)
    assert prompt.effort == "low"


def test_what_the_assistant_did_in_one_go_is_one_message() -> None:
    assert messages_of(
        {"role": "user", "content": "weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Look."}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "One moment.", "annotations": [], "logprobs": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "find",
            "arguments": "{}",
            "status": "completed",
        },
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
        {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "Both."}]},
        {"type": "message", "role": "assistant", "content": "Sun and rain."},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]},
        instructions="Help.",
    ) == (
        ChatMessage("system", "Help."),
        ChatMessage("user", "weather?"),
        ChatMessage(
            "assistant",
            (TextPart("One moment."),),
            reasoning="Look.",
            tool_calls=(ToolCall("find", "{}", "c1"), ToolCall("look", "{}", "c2")),
        ),
        ChatMessage("tool", "sun", tool_call_id="c1"),
        ChatMessage("tool", (TextPart("rain"),), tool_call_id="c2"),
        ChatMessage("assistant", "Sun and rain.", reasoning="Both."),
        ChatMessage("developer", (TextPart("Be brief."),)),
        ChatMessage("user", (MediaPart("image"),)),
    )


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"foo": 1}, "foo", "is not known"),
        ({"input": None}, "input", "is missing"),
        ({"input": []}, "input", "at least one"),
        ({"input": 5}, "input", "is 5; allowed: a text, or a list of items"),
        ({"store": True}, "store", "nothing is stored here; say false, or nothing"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the items before as input"),
        ({"conversation": "conv_1"}, "conversation", "send the items before as input"),
        ({"prompt": {"id": "p"}}, "prompt", "send instructions and input"),
        ({"background": True}, "background", "is true; allowed: nothing"),
        ({"truncation": "auto"}, "truncation", 'is "auto"; allowed: "disabled"'),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "input is taken as it is"),
        ({"moderation": {"model": "x"}}, "moderation", "allowed: nothing"),
        ({"image": {"context_compression": "auto"}}, "image", "there are no images"),
        ({"access_programs": {"cyber": "daybreak_red"}}, "access_programs", "there are none"),
        ({"service_tier": "priority"}, "service_tier", 'allowed: "auto" or "default"'),
        ({"return_token_ids": True}, "return_token_ids", "Chat Completions have token_ids"),
        ({"include": ["file_search_call.results"]}, "include", "allowed: message.output_text.logprobs"),
        ({"top_logprobs": 2}, "top_logprobs", "is 2; allowed unless message.output_text.logprobs is included: 0"),
        ({"stream_options": {}}, "stream_options", "allowed: only with stream"),
        ({"text": {"verbosity": "low"}}, "text.verbosity", 'is "low"; allowed: "medium"'),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", 'is "xml"'),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "is missing"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", "is null"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}, "guided_regex": "a"},
            "text.format",
            "a grammar of the kind regex",
        ),
        ({"reasoning": {"summary": "concise"}}, "reasoning.summary", 'is "concise"; allowed: auto, detailed'),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "allowed: none, minimal"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context", 'allowed: "auto"'),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", 'allowed: "standard"'),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "this server runs no tools"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading", "is true; allowed: nothing"),
        ({"tools": [{**TOOL, "output_schema": {}}]}, "tools[0].output_schema", "models do not see it"),
        ({"tools": [{**TOOL, "name": ""}]}, "tools[0].name", "allowed: 1 to 64"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name", 'is "x"'),
        ({"tools": [TOOL], "tool_choice": {"type": "file_search"}}, "tool_choice", "allowed: auto, none, required"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools[0].type",
            "this server runs no tools",
        ),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_of(**fields)
    assert caught.value.field == field
    assert said in caught.value.reason


@pytest.mark.parametrize(
    ("item", "field", "said"),
    [
        ({}, "type", "is null; allowed: message, function_call"),
        ({"type": []}, "type", "is []; allowed: message"),
        ({"role": {}, "content": ""}, "role", "is {}"),
        ({"role": "user", "content": [{"type": {}}]}, "content[0].type", "is {}; allowed: input_text"),
        ({"type": "function_call_output", "call_id": 5, "output": ""}, "call_id", "is 5; allowed: a text"),
        ({"type": "web_search_call"}, "type", "allowed: message, function_call, function_call_output, reasoning"),
        ({"type": "item_reference", "id": "x"}, "type", "nothing is stored here; send the item itself"),
        ({"role": "robot", "content": ""}, "role", 'is "robot"'),
        ({"role": "user", "content": None}, "content", "is null"),
        ({"role": "user", "content": "", "x": 1}, "x", "is not known"),
        ({"role": "assistant", "content": "", "phase": "commentary"}, "phase", "allowed: nothing"),
        (
            {"role": "user", "content": [{"type": "text", "text": ""}]},
            "content[0].type",
            'is "text"; allowed: input_text',
        ),
        ({"role": "user", "content": [{"type": "input_text"}]}, "content[0].text", "is null; allowed: a text"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "arguments", "is null; allowed: a text"),
        ({"type": "function_call", "call_id": "", "name": "f", "arguments": ""}, "call_id", "is empty"),
        ({"type": "function_call_output", "call_id": "c", "output": 5}, "output", "is 5"),
        ({"type": "reasoning", "summary": [{"type": "x"}]}, "summary", "allowed: a list of summary_text"),
        ({"type": "reasoning", "summary": [], "content": 5}, "content", "is 5; allowed: a list of reasoning_text"),
        ({"type": "function_call_output", "call_id": "c", "output": "", "name": 5}, "name", "is 5; allowed: a text"),
        ({"type": "reasoning", "summary": [], "encrypted_content": "x"}, "encrypted_content", "has not encrypted it"),
    ],
)
def test_items_that_are_none_are_named(item: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages_of({"role": "user", "content": "x"}, item)
    assert caught.value.field == f"input[1].{field}"
    assert said in caught.value.reason
