"""Parts of an answer as Chat Completions: what clients of it put together is the answer, whole and in chunks."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from attendant.core.chat import ToolCallDelta
from attendant.core.events import TokenLogprob
from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.core.request import FinishReason, Timings, Usage
from attendant.http.api.openai.chat_answer import ChatAnswer
from attendant.http.api.openai.chat_body import chat_call, is_named
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.http.api.openai.test_chat_body import FUNCTION, TOOL, body_of

WORDS = {1: b"Hi", 2: b"\xf0\x9f", 3: b"\x98\x80", 4: b" there", 9: b""}


def spell(token: int) -> str:
    return WORDS[token].decode(errors="replace") if WORDS[token] else "<|end|>"


def delta(text: str, *tokens: int, index: int = 0, logprobs: bool = False, **fields: Any) -> Delta:
    entries = tuple(TokenLogprob(token, -token / 10, ((token, -token / 10), (9, -math.inf))) for token in tokens)
    told = entries if logprobs else ()
    return Delta(index, text, tokens, told, 7, spell, spell_bytes=WORDS.__getitem__, **fields)


def finish(tokens: int, reason: FinishReason = FinishReason.STOP, index: int = 0, **fields: Any) -> Finish:
    return Finish(index, reason, Usage(7, 4, tokens), Timings(), **fields)


async def _all(parts: Sequence[GenerationPart]) -> AsyncIterator[GenerationPart]:
    for part in parts:
        yield part


def whole(parts: Sequence[GenerationPart], **fields: Any) -> dict[str, Any]:
    body = body_of(**fields)
    found = asyncio.run(ChatAnswer(body, named=is_named(chat_call(body))).whole(_all(parts)))
    ChatCompletion.model_validate(found, strict=True, extra="ignore")
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def chunks(parts: Sequence[GenerationPart], **fields: Any) -> list[dict[str, Any]]:
    """What goes out before the end is told."""

    async def collect() -> list[Any]:
        body = body_of(stream=True, **fields)
        answer = ChatAnswer(body, named=is_named(chat_call(body)))
        return [event.data async for event in answer.events(_all(parts))]

    *found, last = asyncio.run(collect())
    assert last == "[DONE]"
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk, strict=True)
        json.dumps(chunk, allow_nan=False)
    return found


def text_of(found: Sequence[dict[str, Any]], key: str = "content") -> str:
    return "".join([choice["delta"].get(key) or "" for chunk in found for choice in chunk["choices"]])


PLAIN = (delta("Hi", 1), delta("", 2), delta("😀", 3), delta("", 9), finish(4))


def test_an_answer_in_one() -> None:
    found = whole(PLAIN)
    assert found["object"] == "chat.completion"
    assert found["id"].startswith("chatcmpl-")
    assert found["model"] == "m"
    (choice,) = found["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Hi😀"
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert found["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 4,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_chunks_begin_with_the_role_and_end_with_the_reason() -> None:
    found = chunks(PLAIN)
    assert len({chunk["id"] for chunk in found}) == 1
    assert len({chunk["created"] for chunk in found}) == 1
    assert {chunk["object"] for chunk in found} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in found]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": "😀"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [None, None, None, "stop"]
    assert not any("usage" in chunk for chunk in found)


def test_usage_is_told_once_where_it_is_asked_for() -> None:
    *found, last = chunks(PLAIN, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in found)
    assert last["choices"] == []
    assert last["usage"] == whole(PLAIN)["usage"]
    assert last["id"] == found[0]["id"]


def test_usage_is_told_all_the_time_where_it_is_asked_for() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    found = chunks(PLAIN, stream_options=options)
    assert [chunk["usage"]["completion_tokens"] for chunk in found] == [1, 1, 3, 4, 4]
    assert {chunk["usage"]["prompt_tokens"] for chunk in found} == {7}


def test_sequences_are_told_apart() -> None:
    parts: list[GenerationPart] = [
        delta("a", 1),
        delta("b", 1, index=1),
        delta("c", 1),
        finish(2),
        finish(1, FinishReason.LENGTH, 1),
    ]
    found = whole(parts, n=2)
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in found["choices"]] == [
        (0, "ac", "stop"),
        (1, "b", "length"),
    ]
    assert found["usage"]["prompt_tokens"] == 7
    assert found["usage"]["completion_tokens"] == 3
    streamed = chunks(parts, n=2)
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in streamed) == 2
    for index, text, reason in ((0, "ac", "stop"), (1, "b", "length")):
        own = [chunk for chunk in streamed if chunk["choices"][0]["index"] == index]
        assert text_of(own) == text
        assert own[-1]["choices"][0]["finish_reason"] == reason


TOOLS = (
    delta("Let me see.", 1),
    delta("", 1, tool_calls=(ToolCallDelta(0, "", "call_a", "find"),)),
    delta("", 1, tool_calls=(ToolCallDelta(0, '{"a": 1}'), ToolCallDelta(1, "{", "call_b", "x"))),
    delta("", 1, tool_calls=(ToolCallDelta(1, "}"),)),
    finish(4, num_tool_calls=2),
)


def test_tool_calls() -> None:
    (choice,) = whole(TOOLS, tools=[TOOL])["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    assert choice["message"]["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}},
        {"id": "call_b", "type": "function", "function": {"name": "x", "arguments": "{}"}},
    ]
    streamed = chunks(TOOLS, tools=[TOOL])
    pieces = [p for chunk in streamed for p in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [(piece["index"], piece.get("id")) for piece in pieces] == [
        (0, "call_a"),
        (0, None),
        (1, "call_b"),
        (1, None),
    ]
    arguments = {0: "", 1: ""}
    for piece in pieces:
        arguments[piece["index"]] += piece["function"]["arguments"]
    assert arguments == {0: '{"a": 1}', 1: "{}"}
    assert streamed[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_message_that_only_calls_tools_has_no_content() -> None:
    (choice,) = whole(TOOLS[1:], tools=[TOOL])["choices"]
    assert choice["message"]["content"] is None


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_a_call_that_the_caller_chose_ends_as_any_answer(reason: FinishReason) -> None:
    parts = (*TOOLS[:-1], finish(4, reason, num_tool_calls=2))
    choice = {"type": "function", "function": {"name": "find"}}
    expected = "stop" if reason is FinishReason.STOP else "length"
    assert whole(parts, tools=[TOOL], tool_choice=choice)["choices"][0]["finish_reason"] == expected
    assert chunks(parts, tools=[TOOL], tool_choice=choice)[-1]["choices"][0]["finish_reason"] == expected


def test_functions_of_old_are_called_the_old_way() -> None:
    parts = (*TOOLS[1:2], delta("", 1, tool_calls=(ToolCallDelta(0, "{}"),)), finish(2, num_tool_calls=1))
    (choice,) = whole(parts, functions=[FUNCTION])["choices"]
    assert choice["message"]["function_call"] == {"name": "find", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(parts, functions=[FUNCTION])]
    calls = [each["function_call"] for each in deltas if "function_call" in each]
    assert calls == [{"name": "find", "arguments": ""}, {"arguments": "{}"}]


THINKS = (
    delta("", 1, reasoning="Hm"),
    delta("", 1, reasoning="m."),
    delta("Yes", 1),
    finish(3, num_reasoning_tokens=2),
)


def test_what_is_thought_has_a_field_of_its_own() -> None:
    assert whole(THINKS)["choices"][0]["message"]["reasoning_content"] == "Hmm."
    assert whole(THINKS)["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert text_of(chunks(THINKS), "reasoning_content") == "Hmm."
    assert text_of(chunks(THINKS)) == "Yes"
    assert "reasoning_content" not in whole(THINKS, include_reasoning=False)["choices"][0]["message"]
    assert text_of(chunks(THINKS, include_reasoning=False), "reasoning_content") == ""
    assert whole(THINKS, include_reasoning=False)["choices"][0]["message"]["content"] == "Yes"


def test_a_call_that_cannot_be_read_is_flagged() -> None:
    parts = (delta("<tool_call>{", 1), finish(1, unparsed=True))
    assert whole(parts, tools=[TOOL])["choices"][0]["unparsed_tool_call"] is True
    assert chunks(parts, tools=[TOOL])[-1]["choices"][0]["unparsed_tool_call"] is True
    assert "unparsed_tool_call" not in whole(PLAIN)["choices"][0]


LOGPROBS = tuple(
    delta(part.text, *part.token_ids, logprobs=True) if isinstance(part, Delta) else part for part in PLAIN
)


def entries_of(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    logprobs = [chunk["choices"][0].get("logprobs") for chunk in found]
    return [entry for each in logprobs if each is not None for entry in each["content"]]


def test_bytes_of_tokens_are_those_of_the_text() -> None:
    (choice,) = whole(LOGPROBS, logprobs=True, top_logprobs=2)["choices"]
    entries = choice["logprobs"]["content"]
    assert [bytes(entry["bytes"]) for entry in entries] == [b"Hi", b"\xf0\x9f", b"\x98\x80"]
    assert b"".join([bytes(entry["bytes"]) for entry in entries]).decode() == choice["message"]["content"]
    assert [entry["logprob"] for entry in entries] == [-0.1, -0.2, -0.3]
    assert entries[0]["top_logprobs"] == [
        {"token": "Hi", "logprob": -0.1, "bytes": list(b"Hi")},
        {"token": "<|end|>", "logprob": -9999.0, "bytes": list(b"<|end|>")},
    ]
    assert entries_of(chunks(LOGPROBS, logprobs=True, top_logprobs=2)) == entries


def test_what_a_stop_string_took_away_has_no_entries() -> None:
    waits = delta("", 1, logprobs=True)  # the text may become a stop string
    parts = (waits, delta("Hi", 1, logprobs=True), delta("H", 4, logprobs=True), finish(3, stop_string="i there"))
    found = chunks(parts, logprobs=True, stop=["i there"])
    entries = entries_of(found)
    assert text_of(found) == "HiH"
    assert b"".join([bytes(entry["bytes"]) for entry in entries]) == b"HiH"
    assert [entry["token"] for entry in entries] == ["Hi", "Hi"]
    (choice,) = whole(parts, logprobs=True, stop=["i there"])["choices"]
    assert choice["logprobs"]["content"] == entries
    assert choice["stop_reason"] == "i there"


def test_the_space_that_a_text_lost_at_its_begin_is_no_byte_of_it() -> None:
    parts = (
        delta("", 9, logprobs=True),
        delta("there", 4, logprobs=True),
        delta(" there", 4, logprobs=True),
        finish(3),
    )
    found = chunks(parts, logprobs=True)
    assert b"".join([bytes(entry["bytes"]) for entry in entries_of(found)]).decode() == text_of(found) == "there there"


def test_tokens_can_be_told_as_numbers() -> None:
    found = whole(LOGPROBS, logprobs=True, return_tokens_as_token_ids=True, return_token_ids=True)
    entries = found["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["token_id:1", "token_id:2", "token_id:3"]
    assert found["choices"][0]["token_ids"] == [1, 2, 3, 9]
    streamed = chunks(LOGPROBS, return_token_ids=True)
    assert [t for chunk in streamed for t in chunk["choices"][0].get("token_ids", ())] == [1, 2, 3, 9]


def test_a_stop_string_can_be_shown() -> None:
    parts = (delta("Hi", 1), finish(2, stop_string="END"))
    assert whole(parts, stop="END", include_stop_str_in_output=True)["choices"][0]["message"]["content"] == "HiEND"
    assert text_of(chunks(parts, stop="END", include_stop_str_in_output=True)) == "HiEND"
    assert text_of(chunks(parts, stop="END")) == "Hi"


def test_a_continued_message_can_be_told_again() -> None:
    body = body_of(echo=True)
    found = asyncio.run(ChatAnswer(body, prefix="It is ").whole(_all(PLAIN)))
    assert found["choices"][0]["message"]["content"] == "It is Hi😀"
