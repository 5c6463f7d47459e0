"""Bodies of /v1/messages as calls: each field of the public schema is in the call, or refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, ToolCall, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.grammar import Grammar
from attendant.http.api.anthropic.bodies import CountTokensBody, MessagesBody
from attendant.http.api.anthropic.calls import generation_call, thinking_is_shown
from attendant.http.api.anthropic.conversation import chat_prompt
from attendant.http.api.anthropic.thinking import signature_of
from attendant.http.api.bodies import refusal
from pydantic import ValidationError

HI = {"role": "user", "content": "hi"}
WEATHER = {
    "name": "weather",
    "description": "What the weather is like.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def body(**fields: Any) -> MessagesBody:
    sent = json.dumps({"model": "m", "max_tokens": 9, "messages": [HI], **fields})
    return MessagesBody.model_validate_json(sent)


def call(**fields: Any) -> GenerationCall:
    return generation_call(body(**fields))


def prompt(*messages: Any, **fields: Any) -> ChatPrompt:
    found = call(messages=list(messages), **fields).prompt
    assert isinstance(found, ChatPrompt)
    return found


def refused(**fields: Any) -> str:
    """What the caller hears."""
    try:
        call(**fields)
    except ValidationError as error:
        return str(refusal(MessagesBody, error))
    except InvalidRequest as error:
        return str(error)
    raise AssertionError("it was taken")


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def tool_use(number: str = "1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": number, "name": "weather", "input": {"city": "Köln"}, **fields}


def result(number: str = "1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": number, **fields}


def test_a_text_is_a_message() -> None:
    assert prompt(HI).messages == (ChatMessage("user", "hi"),)
    assert not prompt(HI).continues


def test_a_system_text_or_blocks_come_first() -> None:
    assert prompt(HI, system="be brief").messages[0] == ChatMessage("system", "be brief")
    blocks = [text("be "), text("brief", cache_control={"type": "ephemeral", "ttl": "1h"})]
    assert prompt(HI, system=blocks).messages[0] == ChatMessage("system", (TextPart("be "), TextPart("brief")))
    assert len(prompt(HI, system=[]).messages) == 1


def test_a_system_message_stands_where_it_is() -> None:
    said = prompt(HI, {"role": "system", "content": "now in French"}, HI).messages
    assert [message.role for message in said] == ["user", "system", "user"]


def test_turns_of_one_role_are_one_turn() -> None:
    (said,) = prompt(HI, {"role": "user", "content": [text("how "), text("are you")]}).messages
    assert said == ChatMessage("user", (TextPart("hi"), TextPart("how "), TextPart("are you")))


def test_a_last_message_of_the_assistant_is_continued() -> None:
    found = prompt(HI, {"role": "assistant", "content": "The answer is ("})
    assert found.continues
    assert found.messages[-1] == ChatMessage("assistant", "The answer is (")


def test_documents_and_passages_are_text() -> None:
    document = {
        "type": "document",
        "title": "A title",
        "context": "Of last year",
        "source": {"type": "text", "media_type": "text/plain", "data": "the text"},
        "citations": {"enabled": False},
    }
    parts = {**document, "source": {"type": "content", "content": [text("one"), text("two")]}}
    whole = {**document, "title": None, "context": None, "source": {"type": "content", "content": "all"}}
    passage = {"type": "search_result", "source": "a/b", "title": "Found", "content": [text("words")]}
    (said,) = prompt({"role": "user", "content": [document, parts, whole, passage]}).messages
    assert isinstance(said.content, tuple)
    assert [part.text for part in said.content if isinstance(part, TextPart)] == [
        "A title\nOf last year\nthe text",
        "A title\nOf last year\none\ntwo",
        "all",
        "Found\na/b\nwords",
    ]


def test_a_round_of_tools() -> None:
    said = prompt(
        HI,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "redacted_thinking", "data": "???"},
                text("Let me see."),
                tool_use("1", caller={"type": "direct"}),
                tool_use("2"),
            ],
        },
        {
            "role": "user",
            "content": [
                result("1", content="rain"),
                result("2", content=[text("no "), text("station")], is_error=True),
                text("Well?"),
            ],
        },
    ).messages
    arguments = '{"city": "Köln"}'
    calls = (ToolCall("weather", arguments, "1"), ToolCall("weather", arguments, "2"))
    assert said == (
        ChatMessage("user", "hi"),
        ChatMessage("assistant", "Let me see.", reasoning="hm", tool_calls=calls),
        ChatMessage("tool", "rain", name="weather", tool_call_id="1"),
        ChatMessage(
            "tool",
            (TextPart("Error: no "), TextPart("station")),
            name="weather",
            tool_call_id="2",
        ),
        ChatMessage("user", "Well?"),
    )


def test_a_call_without_words_and_a_result_without_content() -> None:
    said = prompt(HI, {"role": "assistant", "content": [tool_use()]}, {"role": "user", "content": [result()]}).messages
    assert said[1].content is None
    assert said[2] == ChatMessage("tool", "", name="weather", tool_call_id="1")


def test_words_before_a_result_are_said_before_it() -> None:
    user = {"role": "user", "content": [text("first"), result(content="rain"), text("then")]}
    said = prompt(HI, {"role": "assistant", "content": [tool_use()]}, user).messages
    assert [(message.role, message.text) for message in said[2:]] == [
        ("user", "first"),
        ("tool", "rain"),
        ("user", "then"),
    ]


def test_a_thought_that_was_not_shown_comes_back_with_its_signature() -> None:
    for signature, thought in (
        (signature_of("a thöught", shown=False), "a thöught"),
        (signature_of("a thought", shown=True), ""),
        ("kept.?", ""),
        ("another maker's", ""),
    ):
        block = {"type": "thinking", "thinking": "", "signature": signature}
        assert prompt(HI, {"role": "assistant", "content": [block, text("so")]}).messages[1].reasoning == thought


def test_tools_are_shown_as_templates_know_them() -> None:
    examples = [{"city": "Rome"}]
    (tool,) = prompt(HI, tools=[{**WEATHER, "input_examples": examples, "strict": True, "type": "custom"}]).tools
    assert (tool.name, tool.strict) == ("weather", True)
    assert tool.definition == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "What the weather is like.",
            "parameters": {**WEATHER["input_schema"], "examples": examples},  # type: ignore[dict-item]
            "strict": True,
        },
    }
    assert not prompt(HI, tools=[WEATHER]).tools[0].strict


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto", parallel=False)),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required", parallel=False)),
        ({"type": "tool", "name": "weather"}, ToolChoice("named", ("weather",))),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_choices(choice: Any, expected: ToolChoice | None) -> None:
    found = call(tools=[WEATHER], tool_choice=choice)
    assert found.tool_choice == expected
    assert isinstance(found.prompt, ChatPrompt)
    assert bool(found.prompt.tools) == (choice != {"type": "none"})


@pytest.mark.parametrize(
    ("thinking", "effort", "expected"),
    [
        (None, None, ""),
        (None, "low", "low"),
        ({"type": "enabled", "budget_tokens": 1024}, None, "high"),
        ({"type": "enabled", "budget_tokens": 1024}, "medium", "medium"),
        ({"type": "adaptive"}, None, ""),
        ({"type": "adaptive"}, "max", "max"),
        ({"type": "disabled"}, None, "none"),
    ],
)
def test_how_much_is_thought(thinking: Any, effort: str | None, expected: str) -> None:
    found = prompt(HI, thinking=thinking, output_config={"effort": effort}, max_tokens=2000)
    assert (found.effort, found.variables) == (expected, {})


def test_thoughts_can_be_left_out() -> None:
    assert thinking_is_shown(body(thinking={"type": "adaptive", "display": "summarized"}))
    assert not thinking_is_shown(body(thinking={"type": "adaptive", "display": "omitted"}))


def test_a_schema_is_a_grammar() -> None:
    schema = {"type": "object", "properties": {"ä": {"type": "string"}}}
    asked = {"type": "json_schema", "schema": schema}
    for found in (call(output_config={"format": asked}), call(output_format=asked)):
        assert found.grammar == Grammar("json_schema", '{"type": "object", "properties": {"ä": {"type": "string"}}}')
    assert call().grammar is None


def test_how_tokens_are_chosen() -> None:
    found = call(stop_sequences=["END"], temperature=0.5, top_k=3, top_p=0.9, stream=True)
    assert (found.model, found.max_tokens, found.n) == ("m", 9, 1)
    assert (found.stop, found.temperature, found.top_k, found.top_p) == (("END",), 0.5, 3, 0.9)
    assert found.separate
    assert not found.whole
    assert call().whole


def test_a_nucleus_of_nothing_holds_one_token() -> None:
    top_p = call(top_p=0).top_p
    assert top_p is not None
    assert 0 < top_p < 1e-300


def test_what_says_nothing_of_the_answer_is_taken() -> None:
    call(
        metadata={"user_id": "somebody"},
        service_tier="standard_only",
        cache_control={"type": "ephemeral"},
        speed="standard",
        container=None,
        diagnostics=None,
        inference_geo=None,
        context_management=None,
        mcp_servers=[],
        tools=[{**WEATHER, "defer_loading": False, "allowed_callers": ["direct"], "eager_input_streaming": True}],
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [text("x", citations=[{}])]}]}, "messages[0].content[0].citations"),
        ({"messages": [{"role": "assistant", "content": [result()]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": [result("9")]}]}, "messages[0].content[0].tool_use_id"),
        ({"messages": [HI, {"role": "assistant", "content": [tool_use()]}]}, "messages[1]"),
        ({"messages": [HI, {"role": "assistant", "content": ""}]}, "messages[1].content"),
        ({"system": [{"type": "image"}]}, "system[0]"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
        ({"tools": [{**WEATHER, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{**WEATHER, "allowed_callers": ["code_execution_20250825"]}]}, "tools[0].allowed_callers[0]"),
        ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [WEATHER]}, "tool_choice.name"),
        ({"tool_choice": {"type": "all"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1024}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "between_tools"}}, "thinking"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"speed": "fast"}, "speed"),
        ({"diagnostics": {"previous_message_id": "x"}}, "diagnostics"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"temperature": "warm"}, "temperature"),
        ({"n": 2}, "n"),
    ],
    ids=str,
)
def test_what_no_model_here_does_is_refused_by_its_name(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields).startswith(f"{field} ")


def test_a_document_that_is_no_text_is_refused() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": ""}
    said = refused(messages=[{"role": "user", "content": [{"type": "document", "source": source}]}])
    assert said.startswith("messages[0].content[0].source ")
    assert "'base64'; allowed: type 'text', 'content'" in said


def test_what_is_no_json_inside_is_refused() -> None:
    sent = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": [%s]}, %s]}'
    use = b'{"type": "tool_use", "id": "1", "name": "x", "input": {"a": NaN}}'
    with pytest.raises(InvalidRequest, match=r"messages.*input is no JSON"):
        generation_call(MessagesBody.model_validate_json(sent % (use, json.dumps(HI).encode())))


def test_counting_shows_the_same_prompt() -> None:
    fields = {"model": "m", "messages": [HI], "system": "x", "tools": [WEATHER], "thinking": {"type": "adaptive"}}
    counted = chat_prompt(CountTokensBody.model_validate_json(json.dumps(fields)))
    assert counted == call(**fields).prompt
