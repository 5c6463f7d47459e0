"""Bodies of Chat Completions: every field of the public schema is honoured, or refused by its name."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, MediaPart, TextPart, ToolCall, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, GenerationCall
from attendant.core.grammar import Grammar
from attendant.http.api.bodies import refusal
from attendant.http.api.openai.chat import chat_dialect
from attendant.http.api.openai.chat_body import ChatBody, chat_call
from openai.types.chat import completion_create_params
from pydantic import ValidationError

USER = {"role": "user", "content": "hi"}
FUNCTION = {"name": "find", "description": "Finds.", "parameters": {"type": "object"}, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}
OTHER = {"type": "function", "function": {"name": "look"}}


def body_of(**fields: Any) -> ChatBody:
    body = {"model": "m", "messages": [USER], **fields}
    try:
        return ChatBody.model_validate_json(json.dumps(body))
    except ValidationError as error:
        raise refusal(ChatBody, error) from None


def call_of(**fields: Any) -> GenerationCall:
    return chat_call(body_of(**fields))


def chat_of(**fields: Any) -> ChatPrompt:
    prompt = call_of(**fields).prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt


def test_every_field_of_the_clients_schema_is_declared() -> None:
    base = completion_create_params.CompletionCreateParamsBase.__annotations__
    assert {*base, "stream"} <= set(ChatBody.model_fields)


def test_a_plain_call() -> None:
    assert call_of() == GenerationCall(
        "m", ChatPrompt((ChatMessage("user", "hi"),)), whole=True, separate=True, tool_choice=None
    )


def test_every_number_reaches_the_call() -> None:
    call = call_of(
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.1,
        presence_penalty=-0.2,
        logit_bias={"5": -100, "7": 1.5},
        seed=7,
        stop=["a", "b"],
        max_completion_tokens=9,
        n=3,
        logprobs=True,
        top_logprobs=4,
        stream=True,
        top_k=20,
        min_p=0.05,
        repetition_penalty=1.1,
        min_tokens=2,
        stop_token_ids=[3],
        ignore_eos=True,
        skip_special_tokens=False,
        bad_words=["no"],
    )
    assert call == GenerationCall(
        "m",
        ChatPrompt((ChatMessage("user", "hi"),)),
        max_tokens=9,
        min_tokens=2,
        stop=("a", "b"),
        stop_token_ids=(3,),
        ignore_eos=True,
        temperature=0.5,
        top_k=20,
        top_p=0.9,
        min_p=0.05,
        repetition_penalty=1.1,
        presence_penalty=-0.2,
        frequency_penalty=0.1,
        logit_bias={5: -100.0, 7: 1.5},
        seed=7,
        n=3,
        logprobs=4,
        bad_phrases=("no",),
        keep_special_tokens=True,
        separate=True,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 10**30}, {"max_tokens": 2**31 - 1}),
        ({"max_tokens": -1}, {"max_tokens": -1}),  # the front end refuses it
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": None, "temperature": None, "n": None}, {"stop": (), "temperature": None, "n": 1}),
        ({"top_k": -1}, {"top_k": 0}),
        ({"seed": -1}, {"seed": 2**64 - 1}),
        ({"logprobs": True}, {"logprobs": 0}),
        ({"logprobs": False, "top_logprobs": 0}, {"logprobs": None}),
        ({"use_beam_search": True, "n": 4}, {"beam_search": BeamCall(4), "temperature": 0.0}),
        ({"use_beam_search": True, "n": 2, "length_penalty": 0.5}, {"beam_search": BeamCall(2, 0.5)}),
        ({"response_format": {"type": "text"}}, {"grammar": None}),
        ({"response_format": {"type": "json_object"}}, {"grammar": Grammar("json_object")}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}}},
            {"grammar": Grammar("json_schema", '{"type": "null"}')},
        ),
        ({"structured_outputs": {"regex": "a+"}}, {"grammar": Grammar("regex", "a+")}),
        ({"structured_outputs": {"choice": ["a", "b"], "regex": None}}, {"grammar": Grammar("choice", "", ("a", "b"))}),
        ({"structured_outputs": {"grammar": 'root ::= "a"'}}, {"grammar": Grammar("gbnf", 'root ::= "a"')}),
        ({"guided_grammar": 'start: "a"'}, {"grammar": Grammar("lark", 'start: "a"')}),
        ({"guided_json": {"type": "null"}}, {"grammar": Grammar("json_schema", '{"type": "null"}')}),
        ({"guided_json": '{"type": "null"}'}, {"grammar": Grammar("json_schema", '{"type": "null"}')}),
        ({"guided_choice": ["a"]}, {"grammar": Grammar("choice", "", ("a",))}),
        ({"structured_outputs": {"json_object": True}}, {"grammar": Grammar("json_object")}),
    ],
)
def test_what_a_field_becomes(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    call = call_of(**fields)
    assert {name: getattr(call, name) for name in expected} == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u", "metadata": {"a": "b"}, "safety_identifier": "s", "prompt_cache_key": "k"},
        {"service_tier": "auto", "store": False, "modalities": ["text"], "verbosity": "medium"},
        {
            "service_tier": "default",
            "prompt_cache_retention": "in_memory",
            "prompt_cache_options": {"mode": "implicit"},
        },
        {"audio": None, "prediction": None, "web_search_options": None, "moderation": None, "store": None},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"response_format": {"type": "text", "json_schema": None}},
        {"response_format": {"type": "json_object", "json_schema": None}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "image_url": None}]}]},
        {"tools": [{**TOOL, "custom": None}]},
        {"spaces_between_special_tokens": True, "guided_decoding_backend": "auto", "length_penalty": 1.0},
    ],
)
def test_what_describes_the_call_or_asks_for_nothing_is_taken(fields: dict[str, Any]) -> None:
    stream = {"whole": not fields.get("stream")}
    assert {name: getattr(call_of(**fields), name) for name in stream} == stream


SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"foo": 1}, "foo", "is not known"),
        ({"messages": None}, "messages", "is not as it has to be"),
        ({"model": 7}, "model", "is not as it has to be"),
        ({"temperature": "hot"}, "temperature", "is not as it has to be"),
        ({"max_tokens": 1.5}, "max_tokens", "is not as it has to be"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "is 5, and max_completion_tokens 6"),
        ({"top_logprobs": 2}, "top_logprobs", "is 2; allowed without logprobs: 0"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "has a key 'a'"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", "has a key '-1'"),
        ({"logit_bias": {"\uff19": 1}}, "logit_bias", "allowed: ids of tokens"),
        ({"seed": -(2**70)}, "seed", "allowed: -9223372036854775808 to"),
        ({"store": True}, "store", "is true; allowed: nothing: this server stores nothing"),
        ({"audio": {"voice": "a"}}, "audio", 'is {"voice": "a"}; allowed: nothing'),
        ({"modalities": ["text", "audio"]}, "modalities", 'allowed: ["text"]'),
        ({"service_tier": "flex"}, "service_tier", 'is "flex"; allowed: "auto" or "default"'),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction", "allowed: nothing"),
        ({"web_search_options": {}}, "web_search_options", "allowed: nothing"),
        ({"verbosity": "low"}, "verbosity", 'is "low"; allowed: "medium"'),
        ({"moderation": {"model": "x"}}, "moderation", "allowed: nothing"),
        ({"prompt_cache_retention": "24h"}, "prompt_cache_retention", 'allowed: "in_memory"'),
        ({"prompt_cache_options": {"mode": "explicit"}}, "prompt_cache_options", "prompts are cached by themselves"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "allowed: only with stream"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "is true; allowed: false",
        ),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "is not known"),
        ({"allowed_token_ids": [1]}, "allowed_token_ids", "is [1]; allowed: nothing: structured_outputs"),
        ({"prompt_logprobs": 1}, "prompt_logprobs", "is 1; allowed: nothing"),
        ({"prompt_logprobs": 0}, "prompt_logprobs", "is 0; allowed: nothing"),  # vLLM's: those of the prompt alone
        ({"logits_processors": ["x"]}, "logits_processors", "allowed: nothing"),
        ({"request_id": "r"}, "request_id", "send it as the header x-request-id"),
        ({"guided_decoding_backend": "outlines"}, "guided_decoding_backend", 'allowed: "auto" or "guidance"'),
        ({"spaces_between_special_tokens": False}, "spaces_between_special_tokens", "allowed: true"),
        ({"add_special_tokens": True}, "add_special_tokens", "the chat template writes every special token"),
        ({"truncate_prompt_tokens": 5}, "truncate_prompt_tokens", "is 5; allowed: nothing"),
        ({"length_penalty": 2}, "length_penalty", "allowed without beam search: 1"),
        ({"early_stopping": True}, "early_stopping", "allowed without beam search: false"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "allowed: none, minimal, low, medium, high"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "add_generation_prompt",
            "allowed with continue_final_message: false",
        ),
        ({"response_format": {"type": "xml"}}, "response_format.type", 'is "xml"; allowed: text, json_object'),
        ({"response_format": {}}, "response_format.type", "is null"),
        ({"response_format": {"type": "json_object", "x": 1}}, "response_format.x", "is not known"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is null"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
            "is null; allowed: 1 to 64 characters",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": []}}},
            "response_format.json_schema.schema",
            "allowed: a JSON schema, which is an object",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True}}},
            "response_format.json_schema.schema",
            "is missing",
        ),
        ({"response_format": SCHEMA, "guided_regex": "a"}, "response_format and guided_regex", "allowed: one of them"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs", "has regex and choice"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag", "is not known"),
        ({"guided_choice": []}, "guided_choice", "is []; allowed: a list of texts"),
        ({"guided_json": 5}, "guided_json", "is 5; allowed: a JSON schema"),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_of(**fields)
    assert caught.value.field == field
    assert said in caught.value.reason


def test_messages_of_every_role() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages = [
        {"role": "developer", "content": "d"},
        {"role": "system", "content": "s", "name": "op"},
        {"role": "user", "content": parts, "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "content": parts, "tool_call_id": "c1"},
        {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}},
        {"role": "function", "name": "find", "content": "r"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "refusal": "no", "content": None, "audio": None, "annotations": [], "parsed": None},
        {"role": "assistant", "content": "", "reasoning": "hm"},
        {"role": "user", "content": [image, {"type": "input_audio", "input_audio": {}}, {"type": "file", "file": {}}]},
    ]
    assert chat_of(messages=messages).messages == (
        ChatMessage("developer", "d"),
        ChatMessage("system", "s", "op"),
        ChatMessage("user", (TextPart("a"), TextPart("b")), "ann"),
        ChatMessage("assistant", None, "", "hm", (ToolCall("find", '{"a": 1}', "c1"),)),
        ChatMessage("tool", (TextPart("a"), TextPart("b")), tool_call_id="c1"),
        ChatMessage("assistant", None, tool_calls=(ToolCall("find", "{}"),)),
        ChatMessage("tool", "r", "find"),
        ChatMessage("assistant", (TextPart("no"),)),
        ChatMessage("assistant", "no"),
        ChatMessage("assistant", "", reasoning="hm"),
        ChatMessage("user", (MediaPart("image"), MediaPart("audio"), MediaPart("file"))),
    )


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "field", "said"),
    [
        ({"role": "robot", "content": "x"}, "role", 'is "robot"; allowed: developer, system, user'),
        ({"role": "user"}, "content", "is missing"),
        ({"role": "user", "content": 5}, "content", "is 5; allowed: a text, or a list of parts"),
        ({"role": "user", "content": ["x"]}, "content[0]", 'is "x"; allowed: an object with a type'),
        ({"role": "user", "content": [{"type": "x"}]}, "content[0].type", 'is "x"; allowed: text, refusal'),
        ({"role": "user", "content": [{"type": ["x"]}]}, "content[0].type", 'is ["x"]; allowed: text, refusal'),
        ({"role": "user", "content": [{"type": "text"}]}, "content[0].text", "is null; allowed: a text"),
        ({"role": "user", "content": [{"type": "text", "text": "a", "b": 1}]}, "content[0].b", "is not known"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "tool_calls", "allowed with the role user: nothing"),
        ({"role": "user", "content": "x", "tool_call_id": "c"}, "tool_call_id", "allowed with the role user: nothing"),
        ({"role": "tool", "content": "x"}, "tool_call_id", "is missing"),
        ({"role": "function", "content": "x"}, "name", "is missing"),
        ({"role": "assistant"}, "content", "is missing"),
        ({"role": "assistant", "content": "x", "refusal": "y"}, "refusal", "allowed: one of them"),
        ({"role": "assistant", "content": "x", "audio": {"id": "a"}}, "audio", "allowed: nothing"),
        ({"role": "assistant", "content": "x", "annotations": [{}]}, "annotations", "allowed: nothing"),
        ({"role": "assistant", "tool_calls": [{**CALL, "id": ""}]}, "tool_calls[0].id", "allowed: a text"),
        ({"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}, "tool_calls[0].type", "allowed"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]},
            "tool_calls[0].function.arguments",
            "allowed: a JSON object as a text",
        ),
        (
            {"role": "assistant", "tool_calls": [CALL], "function_call": {"name": "f", "arguments": ""}},
            "function_call",
            "allowed: one of them",
        ),
    ],
)
def test_messages_that_are_none_are_named(message: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_of(messages=[USER, message])
    assert caught.value.field == f"messages[1].{field}"
    assert said in caught.value.reason


def test_conversations_as_models_mean_them() -> None:
    chat = chat_of(
        chat_template="{{ messages }}",
        chat_template_kwargs={"enable_thinking": False},
        documents=[{"title": "t"}],
        continue_final_message=True,
        tools=[TOOL, OTHER],
    )
    assert (chat.given_template, chat.variables) == ("{{ messages }}", {"enable_thinking": False})
    assert (chat.documents, chat.continues, chat.adds_generation_prompt) == (({"title": "t"},), True, False)
    assert [tool.definition for tool in chat.tools] == [TOOL, OTHER]
    assert not chat_of(add_generation_prompt=False).adds_generation_prompt
    assert (chat_of(reasoning_effort="low").effort, chat_of(reasoning_effort=None).effort) == ("low", "")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ToolChoice()),
        ({"tool_choice": "auto", "parallel_tool_calls": False}, ToolChoice(parallel=False)),
        ({"tool_choice": "none"}, ToolChoice("none")),
        ({"tool_choice": "required"}, ToolChoice("required")),
        (
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
            ToolChoice("named", ("look",), parallel=False),
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [OTHER]}}},
            ToolChoice("required", ("look",)),
        ),
    ],
)
def test_choices_of_tools(fields: dict[str, Any], expected: ToolChoice) -> None:
    assert call_of(tools=[TOOL, OTHER], **fields).tool_choice == expected


def test_arguments_that_are_none_have_the_name_that_they_have_in_the_body() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "find", "arguments": "{"}}]
    new, old = {"role": "assistant", "tool_calls": calls}, {"role": "assistant", "function_call": calls[0]["function"]}
    dialect = chat_dialect(body_of(messages=[USER, new, old]))
    for field, said in {
        "messages[1].tool_calls[0].arguments": "messages[1].tool_calls[0].function.arguments",
        "messages[2].tool_calls[0].arguments": "messages[2].function_call.arguments",
    }.items():
        named = dialect.in_its_words(InvalidRequest(field, "is no JSON"))
        assert isinstance(named, InvalidRequest)
        assert named.field == said


def test_functions_are_tools_of_old() -> None:
    call = call_of(functions=[FUNCTION], function_call={"name": "find"})
    assert isinstance(call.prompt, ChatPrompt)
    assert [tool.definition for tool in call.prompt.tools] == [TOOL]
    assert call.tool_choice == ToolChoice("named", ("find",), parallel=False)
    assert call_of(functions=[FUNCTION]).tool_choice == ToolChoice("auto", parallel=False)
    assert call_of(functions=[FUNCTION], function_call="none").tool_choice == ToolChoice("none", parallel=False)
    assert call_of(tool_choice="none").tool_choice is None


def _tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", **fields}}]}


NAMES = {"type": "function", "function": {"name": "g"}}


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "this server runs no tools"),
        ({"tools": [{"type": []}]}, "tools[0].type", "is []; allowed"),
        ({"tools": [OTHER], "tool_choice": {"type": []}}, "tool_choice", "allowed: auto, none, required"),
        ({"tools": [OTHER], "tool_choice": []}, "tool_choice", "is []; allowed: auto, none, required"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "is null; allowed: an object"),
        (_tool(name="a b"), "tools[0].function.name", "allowed: 1 to 64 of letters"),
        (_tool(name=""), "tools[0].function.name", "allowed: 1 to 64 of letters"),
        (_tool(x=1), "tools[0].function.x", "is not known; allowed: name, description"),
        (_tool(parameters=[]), "tools[0].function.parameters", "allowed: a JSON schema"),
        (_tool(description=1), "tools[0].function.description", "allowed: a text"),
        (_tool(strict="yes"), "tools[0].function.strict", "allowed: true, false"),
        ({"tools": [OTHER, OTHER]}, "tools[1]", 'has the name "look"'),
        ({"tools": [OTHER], "functions": [FUNCTION]}, "tools", "allowed: one of both"),
        ({"tools": [OTHER], "tool_choice": "any"}, "tool_choice", 'is "any"; allowed: auto, none, required'),
        ({"tool_choice": "required"}, "tool_choice", "allowed without tools: auto, none"),
        ({"tool_choice": NAMES}, "tool_choice.function.name", "none, as there are no tools"),
        ({"tools": [OTHER], "tool_choice": NAMES}, "tool_choice.function.name", 'is "g"; allowed: look'),
        ({"tools": [OTHER], "tool_choice": {"type": "custom"}}, "tool_choice", "allowed: auto, none, required"),
        (
            {"tools": [OTHER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x"}}},
            "tool_choice.allowed_tools.mode",
            'is "x"; allowed: auto, required',
        ),
        (
            {
                "tools": [OTHER],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            },
            "tool_choice.allowed_tools.tools",
            "at least one",
        ),
        ({"functions": [FUNCTION], "function_call": "required"}, "function_call", 'is "required"'),
        ({"functions": [FUNCTION], "function_call": {"name": "x"}}, "function_call.name", 'is "x"; allowed: find'),
    ],
)
def test_tools_that_are_none_are_named(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_of(**fields)
    assert caught.value.field == field
    assert said in caught.value.reason


def test_efforts_are_those_of_the_client() -> None:
    from attendant.http.api.openai.effort import EFFORTS
    from openai.types.shared_params import ReasoningEffort

    (literal, _) = get_args(ReasoningEffort)
    assert set(get_args(literal)) == set(EFFORTS)
