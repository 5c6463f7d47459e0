"""OpenAI's client, chatting: it gets what attendant.v1 gives, in every way that the client knows to ask."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest

from tests.clients.asked import QUESTION, answer_of
from tests.system.server import HANGS_S, ServerProcess

MESSAGES: Any = [{"role": "user", "content": QUESTION}]
TOO_LONG = [{"role": "user", "content": "order " * 3000}]
GREEDY: Any = {"model": "demo", "messages": MESSAGES, "temperature": 0, "max_tokens": 24}


def test_a_chat_is_attendant_v1s(server: ServerProcess, client: openai.OpenAI) -> None:
    expected = answer_of(server)
    found = client.chat.completions.create(**GREEDY)
    (choice,) = found.choices
    assert choice.message.content == expected.texts[0]
    assert (choice.message.role, choice.index, choice.finish_reason) == ("assistant", 0, "length")
    assert choice.message.tool_calls is None
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (expected.prompt_tokens, 24)
    assert found.usage.total_tokens == expected.prompt_tokens + 24
    assert (found.object, found.model) == ("chat.completion", "demo")
    assert found.id.startswith("chatcmpl-")


def test_one_that_ends_of_itself_says_stop(server: ServerProcess, client: openai.OpenAI) -> None:
    expected = answer_of(server, max_tokens=200)
    (choice,) = client.chat.completions.create(**GREEDY | {"max_tokens": 200}).choices
    assert (choice.message.content, choice.finish_reason) == (expected.texts[0], "stop")


def test_log_probabilities_are_the_models_own(server: ServerProcess, client: openai.OpenAI) -> None:
    expected = answer_of(server, logprobs=2)
    (choice,) = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=2).choices
    assert choice.logprobs is not None
    entries = choice.logprobs.content or []
    assert [entry.token for entry in entries] == expected.tokens
    assert [entry.logprob for entry in entries] == pytest.approx(expected.logprobs, abs=1e-6)
    assert [len(entry.top_logprobs) for entry in entries] == [2] * 24


def test_bytes_of_tokens_join_to_the_text(client: openai.OpenAI) -> None:
    """The tokens of ``slow`` are single bytes: no character is whole in one (sota.md 3, row 9)."""
    asked: Any = {"model": "slow", "messages": MESSAGES, "temperature": 1.5, "seed": 3, "max_tokens": 64}
    (choice,) = client.chat.completions.create(**asked, logprobs=True).choices
    assert choice.logprobs is not None
    said = b"".join(bytes(entry.bytes or ()) for entry in choice.logprobs.content or ())
    assert said.decode(errors="replace") == choice.message.content
    with client.chat.completions.create(**asked, logprobs=True, stream=True) as stream:
        choices = [choice for chunk in stream for choice in chunk.choices]
    streamed = [entry for each in choices if each.logprobs for entry in each.logprobs.content or ()]
    assert streamed == choice.logprobs.content
    assert "".join(each.delta.content or "" for each in choices) == choice.message.content


def test_a_stream_has_the_same_text_and_one_id(server: ServerProcess, client: openai.OpenAI) -> None:
    """sota.md 3, rows 1, 3 and 8: usage comes once, at the end, without choices; all chunks have one id."""
    expected = answer_of(server)
    with client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True}) as stream:
        *chunks, last = list(stream)
    assert {chunk.id for chunk in [*chunks, last]} == {last.id}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (expected.prompt_tokens, 24)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in choices) == expected.texts[0]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["length"]


def test_a_stream_without_usage_has_none(client: openai.OpenAI) -> None:
    with client.chat.completions.create(**GREEDY, stream=True) as stream:
        assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_the_clients_own_helper_of_streams(server: ServerProcess, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**GREEDY | {"max_tokens": 200}) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == answer_of(server, max_tokens=200).texts[0]


def test_several_answers_are_those_of_their_seeds(server: ServerProcess, client: openai.OpenAI) -> None:
    drawn: Any = {"temperature": 2.0, "seed": 7, "n": 3}
    answer = answer_of(server, **drawn)
    expected = answer.texts
    assert len(set(expected.values())) > 1
    found = client.chat.completions.create(**GREEDY | drawn)
    assert {choice.index: choice.message.content for choice in found.choices} == expected
    assert found.usage is not None
    assert found.usage.completion_tokens == answer.completion_tokens
    texts: dict[int, str] = {}
    with client.chat.completions.create(**GREEDY | drawn, stream=True) as stream:
        for choice in [choice for chunk in stream for choice in chunk.choices]:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == expected


def test_a_stop_string_ends_it_and_is_not_said(server: ServerProcess, client: openai.OpenAI) -> None:
    whole = answer_of(server).texts[0]
    word = whole.split()[2]
    (choice,) = client.chat.completions.create(**GREEDY, stop=[word, "never said"]).choices
    assert choice.message.content == whole[: whole.index(word)]
    assert choice.finish_reason == "stop"


def test_parts_of_text_are_one_text(server: ServerProcess, client: openai.OpenAI) -> None:
    begin, end = QUESTION[:9], QUESTION[9:]
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": begin}, {"type": "text", "text": end}]}]
    (choice,) = client.chat.completions.create(**GREEDY | {"messages": parts}).choices
    assert choice.message.content == answer_of(server).texts[0]


def test_in_asyncio_sixteen_at_once_are_each_as_alone(server: ServerProcess) -> None:
    questions = [f"Where is my order {number}, and when does it come?" for number in range(16)]
    expected = [answer_of(server, question).texts[0] for question in questions]

    async def ask(client: openai.AsyncOpenAI, question: str) -> str:
        asked: Any = GREEDY | {"messages": [{"role": "user", "content": question}]}
        if question.endswith("?") and "1" in question:
            return (await client.chat.completions.create(**asked)).choices[0].message.content or ""
        async with await client.chat.completions.create(**asked, stream=True) as stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def main() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, question) for question in questions))

    assert asyncio.run(asyncio.wait_for(main(), HANGS_S)) == expected


def test_raw_responses_have_the_ids_of_calls(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**GREEDY, extra_headers={"x-request-id": "mine-1"})
    assert (raw.status_code, raw.headers["x-request-id"]) == (200, "mine-1")
    assert raw.headers["content-type"].startswith("application/json")
    completion = raw.parse()
    assert completion.choices[0].message.content
    assert completion._request_id == "mine-1"
    with client.chat.completions.with_streaming_response.create(**GREEDY, stream=True) as response:
        lines = [line for line in response.iter_lines() if line]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("change", "kind", "param", "code"),
    [
        ({"model": "nope"}, openai.NotFoundError, "model", "model_not_found"),
        ({"temperature": -1}, openai.BadRequestError, "temperature", None),
        ({"top_p": 1.5}, openai.BadRequestError, "top_p", None),
        ({"n": 0}, openai.BadRequestError, "n", None),
        ({"max_tokens": -5}, openai.BadRequestError, "max_tokens", None),
        ({"top_logprobs": 3}, openai.BadRequestError, "top_logprobs", None),
        ({"messages": []}, openai.BadRequestError, "messages", None),
        ({"messages": TOO_LONG}, openai.BadRequestError, "messages", "context_length_exceeded"),
        ({"store": True}, openai.BadRequestError, "store", None),
        ({"modalities": ["text", "audio"]}, openai.BadRequestError, "modalities", None),
        ({"extra_body": {"no_such_field": 1}}, openai.BadRequestError, "no_such_field", None),
        ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "stream_options", None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_name(
    client: openai.OpenAI, change: dict[str, Any], kind: type[openai.APIStatusError], param: str, code: str | None
) -> None:
    """sota.md 3, row 13 among them: a prompt that is too long has a code that programs know."""
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**GREEDY | change)
    assert (caught.value.param or "").partition("[")[0].partition(".")[0] == param
    assert caught.value.code == code
    assert caught.value.type == "invalid_request_error"
    assert param in caught.value.message


def test_a_greatest_length_beyond_the_context_is_clipped(client: openai.OpenAI) -> None:
    """sota.md 3, row 13: it is a maximum, not a wish."""
    found = client.chat.completions.create(**GREEDY | {"max_tokens": 1_000_000})
    assert found.choices[0].finish_reason in ("stop", "length")
    found = client.chat.completions.create(**GREEDY | {"max_tokens": None}, max_completion_tokens=1_000_000)
    assert found.choices[0].finish_reason in ("stop", "length")


def test_optional_metadata_changes_nothing(server: ServerProcess, client: openai.OpenAI) -> None:
    said: Any = {
        "user": "u1",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "safety_identifier": "x",
        "prompt_cache_key": "k",
    }
    (choice,) = client.chat.completions.create(**GREEDY, **said).choices
    assert choice.message.content == answer_of(server).texts[0]


def test_by_hand(server: ServerProcess) -> None:
    """httpx, without any client's idea of what is right."""
    with httpx.Client(base_url=server.http, timeout=HANGS_S) as plain:
        found = plain.post("/v1/chat/completions", json=GREEDY)
        assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
        assert found.json()["choices"][0]["message"]["content"] == answer_of(server).texts[0]
        wrong = plain.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
        assert (wrong.status_code, set(wrong.json()["error"])) == (400, {"message", "type", "param", "code"})
        wrong = plain.get("/v1/chat/completions")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert set(wrong.json()["error"]) == {"message", "type", "param", "code"}
        wrong = plain.post("/v1/no/such/thing", json={})
        assert (wrong.status_code, set(wrong.json()["error"])) == (404, {"message", "type", "param", "code"})
