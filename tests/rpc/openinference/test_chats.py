"""Conversations as JSON are those of attendant.v1, and what an answer is told apart into has outputs."""

from __future__ import annotations

import json
from typing import Any

from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall, ToolCallDelta
from attendant.core.generation import Delta
from attendant.rpc.convert import generation_call
from attendant.rpc.openinference import asked
from attendant.rpc.openinference.generated import Answer
from attendant_proto.v1 import generation_pb2 as pb

from tests.rpc.fake import manifest
from tests.rpc.openinference.calls import infer_call

TOOL = {"type": "function", "function": {"parameters": {"type": "object"}, "name": "find"}}


def prompt_of(given: Any) -> Any:
    call = infer_call("fake", {"chat": json.dumps(given)})
    return generation_call(asked.read(call, manifest(), alone=True, scored=False).message).prompt


def test_every_field_of_a_chat_is_read() -> None:
    function = {"name": "find", "arguments": {"order": 7}}
    given = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "ann"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [{"id": "a1", "type": "function", "function": function}, {"name": "look"}],
            },
            {"role": "tool", "content": "shipped", "tool_call_id": "a1"},
            {"role": "assistant", "content": "It is", "reasoning": "ha"},
        ],
        "template": "shop",
        "tools": [TOOL],
        "documents": [{"title": "t"}],
        "template_variables": {"enable_thinking": False},
        "given_template": "{{ messages }}",
        "continue_final_message": True,
        "no_generation_prompt": True,
    }
    assert given.keys() == {field.name for field in pb.Chat.DESCRIPTOR.fields}
    calls = (ToolCall("find", '{"order": 7}', "a1"), ToolCall("look", ""))
    assert prompt_of(given) == ChatPrompt(
        (
            ChatMessage("user", (TextPart("a"), TextPart("b")), "ann"),
            ChatMessage("assistant", None, "", "hm", calls),
            ChatMessage("tool", "shipped", tool_call_id="a1"),
            ChatMessage("assistant", "It is", reasoning="ha"),
        ),
        "shop",
        (Tool("find", TOOL),),
        ({"title": "t"},),
        {"enable_thinking": False},
        "{{ messages }}",
        continues=True,
        adds_generation_prompt=False,
    )
    assert list(prompt_of(given).tools[0].definition["function"]) == ["parameters", "name"]  # in the caller's order


def test_what_was_told_apart_has_outputs() -> None:
    answer = Answer({"reasoning", "tool_calls"}, 2)
    answer.take(Delta(0, "", (5,), reasoning="h"))
    answer.take(Delta(0, "", (6,), reasoning="m", tool_calls=(ToolCallDelta(0, '{"a', "a1", "find"),)))
    answer.take(Delta(0, "", (7,), tool_calls=(ToolCallDelta(0, '": 1}'), ToolCallDelta(1, "{}", "a2", "look"))))
    first = {tensor.name: [words.decode() for words in tensor.values] for tensor in answer.tensors()}
    assert first["text_output"] == ["", ""]
    assert first["reasoning"] == ["hm", ""]
    assert [json.loads(words) for words in first["tool_calls"]] == [
        [
            {"index": 0, "id": "a1", "name": "find", "arguments": '{"a": 1}'},
            {"index": 1, "id": "a2", "name": "look", "arguments": "{}"},
        ],
        [],
    ]
    answer.take(Delta(0, "x", (8,)))
    then = {tensor.name: [words.decode() for words in tensor.values] for tensor in answer.tensors()}
    assert then == {"text_output": ["x", ""], "reasoning": ["", ""], "tool_calls": ["[]", "[]"]}
