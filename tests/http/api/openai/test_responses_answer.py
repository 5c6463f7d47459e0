"""Parts of an answer as responses: the events of a stream, put together, are the response that comes in one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from attendant.core.chat import ToolCallDelta
from attendant.core.errors import AttendantError, EngineDead, QueueFull
from attendant.core.generation import Delta, GenerationPart
from attendant.core.request import FinishReason
from attendant.http.api.openai.responses_answer import ResponseAnswer
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.http.api.openai.test_chat_answer import LOGPROBS, PLAIN, delta, finish
from tests.http.api.openai.test_responses_body import TOOL, body_of

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


async def _all(parts: Sequence[GenerationPart], error: AttendantError | None = None) -> AsyncIterator[GenerationPart]:
    for part in parts:
        yield part
    if error is not None:
        raise error


def whole(parts: Sequence[GenerationPart], **fields: Any) -> dict[str, Any]:
    found = asyncio.run(ResponseAnswer(body_of(**fields)).whole(_all(parts)))
    Response.model_validate(found)
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def events(parts: Sequence[GenerationPart], error: AttendantError | None = None, **fields: Any) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        found = []
        async for event in ResponseAnswer(body_of(stream=True, **fields)).events(_all(parts, error)):
            assert isinstance(event.data, dict)
            EVENT.validate_python(event.data)
            assert event.name == event.data["type"]
            found.append(json.loads(json.dumps(event.data, allow_nan=False)))
        return found

    told = asyncio.run(collect())
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    return told


def kinds(told: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told]


def without_ids(response: dict[str, Any]) -> dict[str, Any]:
    changing = ("id", "created_at", "completed_at")
    items = [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]
    return {name: value for name, value in response.items() if name not in changing} | {"output": items}


def test_a_response_in_one() -> None:
    found = whole(PLAIN, instructions="Be kind.", metadata={"a": "b"}, temperature=0.5)
    assert found["id"].startswith("resp_")
    assert (found["object"], found["status"], found["store"]) == ("response", "completed", False)
    assert (found["instructions"], found["metadata"], found["temperature"]) == ("Be kind.", {"a": "b"}, 0.5)
    (item,) = found["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert item["content"] == [{"type": "output_text", "text": "Hi😀", "annotations": [], "logprobs": []}]
    assert found["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 11,
    }


def test_the_events_of_a_text() -> None:
    told = events(PLAIN)
    assert kinds(told) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert told[0]["response"]["status"] == "in_progress"
    assert told[0]["response"]["output"] == []
    assert told[2]["item"]["content"] == []
    assert told[3]["part"]["text"] == ""
    assert [event["delta"] for event in told if event["type"].endswith("text.delta")] == ["Hi", "😀"]
    assert told[6]["text"] == told[7]["part"]["text"] == "Hi😀"
    assert len({event["item_id"] for event in told[3:8]} | {told[2]["item"]["id"], told[8]["item"]["id"]}) == 1
    assert told[-1]["response"]["id"] == told[0]["response"]["id"]
    assert without_ids(told[-1]["response"]) == without_ids(whole(PLAIN))


EVERYTHING = (
    delta("", 1, reasoning="Hm"),
    delta("", 1, reasoning="m."),
    delta("I look.", 1),
    delta("", 1, tool_calls=(ToolCallDelta(0, "", "call_a", "find"), ToolCallDelta(0, '{"a"'))),
    delta("", 1, tool_calls=(ToolCallDelta(0, ": 1}"), ToolCallDelta(1, "", "call_b", "look"))),
    delta("", 1, tool_calls=(ToolCallDelta(1, "{}"),)),
    finish(6, num_tool_calls=2),
)


def test_what_was_thought_said_and_called_are_items_in_order() -> None:
    found = whole(EVERYTHING, tools=[TOOL])
    reasoning, message, *calls = found["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hmm."}]
    assert reasoning["summary"] == []
    assert message["content"][0]["text"] == "I look."
    assert [(call["type"], call["call_id"], call["name"], call["arguments"]) for call in calls] == [
        ("function_call", "call_a", "find", '{"a": 1}'),
        ("function_call", "call_b", "look", "{}"),
    ]
    assert {item["status"] for item in found["output"]} == {"completed"}
    told = events(EVERYTHING, tools=[TOOL])
    assert kinds(told) == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    assert [event["output_index"] for event in told if event["type"].endswith("item.done")] == [0, 1, 2, 3]
    assert without_ids(told[-1]["response"]) == without_ids(found)


def test_what_was_thought_can_be_told_as_a_summary() -> None:
    found = whole(EVERYTHING, reasoning={"summary": "auto"}, tools=[TOOL])
    assert found["output"][0]["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert "content" not in found["output"][0]
    told = events(EVERYTHING, reasoning={"summary": "detailed"}, tools=[TOOL])
    assert kinds(told)[2:9] == [
        *("output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
    ]


def test_an_answer_that_was_cut_is_incomplete() -> None:
    parts = (delta("Hi", 1), finish(1, FinishReason.LENGTH))
    found = whole(parts)
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert found["output"][0]["status"] == "incomplete"
    told = events(parts)
    assert kinds(told)[-1] == "incomplete"
    assert told[-1]["response"]["output"][0]["status"] == "incomplete"


def test_a_call_that_was_cut_is_incomplete_and_comes_as_text() -> None:
    begun = delta("", 1, tool_calls=(ToolCallDelta(0, "", "call_a", "find"), ToolCallDelta(0, '{"a"')))
    told = events((begun, delta('<tool_call>{"a"', 1), finish(2, FinishReason.LENGTH, unparsed=True)), tools=[TOOL])
    call, message = told[-1]["response"]["output"]
    assert (call["type"], call["status"]) == ("function_call", "incomplete")
    assert message["content"][0]["text"] == '<tool_call>{"a"'


def test_an_answer_without_a_word_has_a_message() -> None:
    (item,) = whole((delta("", 9), finish(1)))["output"]
    assert item["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("error", "code"), [(EngineDead.of("m"), "server_error"), (QueueFull("m", 1, 1.0), "rate_limit_exceeded")]
)
def test_a_failure_is_the_last_event(error: AttendantError, code: str) -> None:
    told = events(PLAIN[:1], error)
    assert kinds(told)[-1] == "failed"
    response = told[-1]["response"]
    assert (response["status"], response["error"]) == ("failed", {"code": code, "message": str(error)})
    assert response["output"][0]["content"][0]["text"] == "Hi"


def test_what_is_refused_before_the_first_event_is_raised() -> None:
    with pytest.raises(QueueFull):
        events((), QueueFull("m", 1, 1.0))


def test_bytes_of_tokens_are_those_of_the_text() -> None:
    fields: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    content = whole(LOGPROBS, **fields)["output"][0]["content"][0]
    assert b"".join([bytes(entry["bytes"]) for entry in content["logprobs"]]).decode() == content["text"]
    told = events(LOGPROBS, **fields)
    streamed = [entry for event in told if event["type"].endswith("text.delta") for entry in event["logprobs"]]
    assert streamed == content["logprobs"]
    assert told[-1]["response"]["output"][0]["content"][0] == content


def test_a_call_that_cannot_be_read_is_flagged() -> None:
    assert whole((delta("{", 1), finish(1, unparsed=True)))["unparsed_tool_call"] is True
    assert "unparsed_tool_call" not in whole(PLAIN)


def test_parts_of_several_tokens_tell_the_same() -> None:
    joined = Delta(
        0,
        "I look.",
        (1,) * 6,
        (),
        7,
        reasoning="Hmm.",
        tool_calls=tuple(c for d in EVERYTHING[3:6] for c in d.tool_calls),
    )
    assert without_ids(whole((joined, EVERYTHING[-1]))) == without_ids(whole(EVERYTHING))


def test_the_end_of_a_call_comes_before_the_text_of_one_delta() -> None:
    """As a slow reader gets it where a call turns out to be none that can be read."""
    begin = delta("", 1, tool_calls=(ToolCallDelta(0, '{"a": ', "call_0", "look"),))
    together = delta('{"a": 1?}', 2, 3, tool_calls=(ToolCallDelta(0, "1"),))
    told = whole((begin, together, finish(3, unparsed=True)))["output"]
    assert [item["type"] for item in told] == ["function_call", "message"]
    assert [told[0][name] for name in ("call_id", "name", "arguments")] == ["call_0", "look", '{"a": 1']
    assert told[1]["content"][0]["text"] == '{"a": 1?}'
