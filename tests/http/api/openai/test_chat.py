"""Chat Completions over a socket, as OpenAI's own client speaks them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.generation import Delta, Finish, GenerationCall
from openai import AsyncOpenAI

from tests.http.api.openai.conftest import ENDLESS, ENDS, HELLO, client_of, running, whole_answer
from tests.http.api.served import ApiSite
from tests.http.page.served import eventually
from tests.synthetic import EOS, make_synthetic_bundle

CALL = GenerationCall("model", ChatPrompt((ChatMessage("user", "hello"),)), whole=True)


def expected(site: ApiSite, **changes: Any) -> tuple[str, Finish]:
    return whole_answer(site, replace(CALL, **changes))


def test_an_answer_is_the_front_ends(site: ApiSite, client: Any) -> None:
    text, finish = expected(site, max_tokens=12, temperature=0.0)
    found = client.chat.completions.create(model="model", messages=HELLO, max_tokens=12, temperature=0)
    assert found.choices[0].message.content == text
    assert found.choices[0].finish_reason == finish.reason.value
    assert found.usage is not None
    assert found.usage.prompt_tokens == finish.usage.prompt_tokens
    assert found.usage.completion_tokens == finish.usage.completion_tokens
    assert found.model == "model"


def test_a_nucleus_of_nothing_is_the_most_probable_token(site: ApiSite, client: Any) -> None:
    text, _ = expected(site, max_tokens=12, temperature=0.0)
    found = client.chat.completions.create(model="model", messages=HELLO, max_tokens=12, temperature=2, top_p=0)
    assert found.choices[0].message.content == text


def test_a_streamed_answer_is_the_same(site: ApiSite, client: Any) -> None:
    text, finish = expected(site, max_tokens=12, temperature=0.0)
    stream = client.chat.completions.create(
        model="model", messages=HELLO, max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    *chunks, ended, last = list(stream)
    assert "".join([chunk.choices[0].delta.content or "" for chunk in chunks]) == text
    assert ended.choices[0].finish_reason == finish.reason.value
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == finish.usage.completion_tokens


def test_sequences_of_a_call_are_those_of_its_seed(site: ApiSite, client: Any) -> None:
    parts = site.generated(replace(CALL, max_tokens=9, n=2, seed=5, temperature=0.9))
    texts = {part.index: part.text for part in parts if isinstance(part, Delta)}
    found = client.chat.completions.create(model="model", messages=HELLO, max_tokens=9, n=2, seed=5, temperature=0.9)
    assert {choice.index: choice.message.content for choice in found.choices} == texts


@pytest.mark.parametrize("stream", [False, True])
def test_joined_bytes_are_the_text(client: Any, stream: bool) -> None:
    """The model writes bytes at random: characters in many tokens, and bytes that are none."""
    asked: dict[str, Any] = {"model": "endless", "messages": HELLO, "max_tokens": 80, "temperature": 1.0, "seed": 3}
    if stream:
        chunks = list(client.chat.completions.create(**asked, stream=True, logprobs=True, top_logprobs=2))
        choices = [chunk.choices[0] for chunk in chunks]
        text = "".join([choice.delta.content or "" for choice in choices])
        entries = [e for choice in choices if choice.logprobs is not None for e in choice.logprobs.content or ()]
    else:
        (choice,) = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2).choices
        assert choice.logprobs is not None
        text, entries = choice.message.content or "", choice.logprobs.content or []
    raw = b"".join([bytes(entry.bytes or ()) for entry in entries])
    assert len(entries) == 80
    assert "\ufffd" in text
    assert raw.decode(errors="replace") == text
    assert all(len(entry.top_logprobs) == 2 for entry in entries)


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_goes_on_with_the_last_message(site: ApiSite, client: Any, stream: bool) -> None:
    begun = (ChatMessage("user", "hello"), ChatMessage("assistant", "It is"))
    prompt = ChatPrompt(begun, continues=True, adds_generation_prompt=False)
    text, _ = expected(site, prompt=prompt, max_tokens=6, temperature=0.0)
    messages: list[Any] = [*HELLO, {"role": "assistant", "content": "It is"}]
    body = {"continue_final_message": True, "echo": True}
    asked = client.chat.completions.create(
        model="model", messages=messages, max_tokens=6, temperature=0, stream=stream, extra_body=body
    )
    if stream:
        assert "".join([chunk.choices[0].delta.content or "" for chunk in asked]) == f"It is{text}"
    else:
        assert asked.choices[0].message.content == f"It is{text}"


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_of_prompt_and_answer(site: ApiSite, client: Any, stream: bool) -> None:
    delta, _ = site.generated(replace(CALL, max_tokens=6, temperature=0.0))
    assert isinstance(delta, Delta)
    prompt = site.loop.run(site.front_end.tokenizer.tokenize("model", CALL.prompt)).token_ids  # type: ignore[arg-type]
    asked = client.chat.completions.create(
        model="model", messages=HELLO, max_tokens=6, temperature=0, stream=stream, extra_body={"return_token_ids": True}
    )
    first, *rest = list(asked) if stream else [asked]
    ids = [token for each in (first, *rest) for token in (each.choices[0].model_extra or {}).get("token_ids", ())]
    assert tuple(ids) == delta.token_ids
    assert tuple(first.model_extra["prompt_token_ids"]) == prompt
    assert not any("prompt_token_ids" in (each.model_extra or {}) for each in rest)


def test_a_maximum_of_tokens_is_cut_to_the_room_there_is(client: Any) -> None:
    found = client.chat.completions.create(
        model="model", messages=HELLO, max_tokens=10**9, temperature=0, extra_body={"ignore_eos": True}
    )
    assert found.usage is not None
    assert found.usage.total_tokens == 256
    assert found.choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_has_a_code(client: Any, stream: bool) -> None:
    long: list[Any] = [{"role": "user", "content": "x" * 300}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="model", messages=long, max_tokens=5, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("changes", "kind", "param"),
    [
        ({"model": "none"}, openai.NotFoundError, "model"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"max_completion_tokens": -5}, openai.BadRequestError, "max_completion_tokens"),
        ({"top_p": 1.5}, openai.BadRequestError, "top_p"),
        ({"n": 0}, openai.BadRequestError, "n"),
        ({"stop": [""]}, openai.BadRequestError, "stop"),
        ({"logit_bias": {"99999": 1}}, openai.BadRequestError, "logit_bias"),
        ({"logprobs": True, "top_logprobs": 1000}, openai.BadRequestError, "logprobs"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"extra_body": {"surprise": 1}}, openai.BadRequestError, "surprise"),
        ({"extra_body": {"structured_outputs": {"x": 1}}}, openai.BadRequestError, "structured_outputs.x"),
        ({"extra_body": {"chat_template_kwargs": {"x": 1}}}, openai.BadRequestError, "chat_template_kwargs"),
        ({"extra_body": {"documents": [{"text": "x"}]}}, openai.BadRequestError, "documents"),
        ({"extra_body": {"chat_template": "{{ x }}"}}, openai.PermissionDeniedError, None),
        ({"reasoning_effort": "low"}, openai.BadRequestError, "reasoning_effort"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            openai.BadRequestError,
            "messages[0].content[0]",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_an_exception_with_the_field(
    client: Any, changes: dict[str, Any], kind: type[openai.APIStatusError], param: str | None, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "model", "messages": HELLO, "stream": stream} | changes)
    assert caught.value.param == param
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model": "model", "messages": ' + b"[" * 100_000,
        b'{"model": "model", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "model", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "model", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"model": "model", "messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 10_000 + b"}",
        b'{"model": "model", "messages": [{"role": "user", "content": "x"}], "priority": ' + b"9" * 4_000 + b"}",
        b'\xff{"model": "model"}',
    ],
    ids=["empty", "cut", "list", "null", "deep", "surrogate", "nan", "infinite", "seed", "priority", "no utf-8"],
)
def test_hostile_bodies_are_refused(site: ApiSite, body: bytes) -> None:
    status, said = site.post("/v1/chat/completions", body)
    assert status == 400
    assert set(said["error"]) == {"message", "type", "param", "code"}


def test_numbers_beyond_all_there_is_are_all_there_is(client: Any) -> None:
    huge = {"top_k": 10**400, "max_completion_tokens": 10**400, "priority": -5}
    found = client.chat.completions.create(
        model="model", messages=HELLO, temperature=1, extra_body=huge | {"ignore_eos": True}
    )
    assert found.choices[0].finish_reason == "length"


def test_null_bytes_are_characters(client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": "a\x00b"}]
    found = client.chat.completions.create(model="model", messages=messages, max_tokens=2, temperature=0)
    assert found.usage is not None
    assert found.usage.prompt_tokens == 6


def test_raw_answers_have_their_headers(client: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="model", messages=HELLO, max_tokens=3, extra_headers={"x-request-id": "mine-7"}
    )
    assert raw.headers["x-request-id"] == "mine-7"
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().choices[0].message.role == "assistant"
    with client.chat.completions.with_streaming_response.create(
        model="model", messages=HELLO, max_tokens=3, stream=True
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in streamed.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


def test_the_stream_helper_puts_an_answer_together(site: ApiSite, client: Any) -> None:
    text, _ = expected(site, min_tokens=6, logit_bias={EOS: 100.0}, temperature=0.0)
    with client.chat.completions.stream(model="model", messages=HELLO, temperature=0, **ENDS) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == text


def test_an_answer_can_be_sent_back_as_it_came(client: Any) -> None:
    first = client.chat.completions.parse(model="model", messages=HELLO, temperature=0, **ENDS)
    messages: list[Any] = [*HELLO, first.choices[0].message, *HELLO]
    assert client.chat.completions.create(model="model", messages=messages, max_tokens=2).choices


def test_who_goes_away_ends_the_work(site: ApiSite, client: Any) -> None:
    stream = client.chat.completions.create(model="endless", messages=HELLO, max_tokens=ENDLESS, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert running(site)
    stream.close()
    eventually(lambda: not running(site))


def test_who_goes_away_before_the_answer_ends_the_work(site: ApiSite) -> None:
    async def main() -> None:
        async with AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as client:
            asking = asyncio.create_task(
                client.chat.completions.create(model="endless", messages=HELLO, max_tokens=ENDLESS)
            )
            while not await asyncio.to_thread(running, site):
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(main())
    eventually(lambda: not running(site))


def test_many_at_once_over_the_asynchronous_client(site: ApiSite) -> None:
    text, _ = expected(site, max_tokens=12, temperature=0.0)

    async def main() -> None:
        async with AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as client:

            async def streamed() -> str:
                asked = client.chat.completions.create(
                    model="model", messages=HELLO, max_tokens=12, temperature=0, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in await asked])

            assert await asyncio.gather(streamed(), streamed(), streamed()) == [text] * 3

    asyncio.run(main())


def test_a_full_queue_says_when_to_come_again(site: ApiSite, client: Any) -> None:
    held = [
        client.chat.completions.create(model="endless", messages=HELLO, max_tokens=ENDLESS, stream=True)
        for _ in range(2)
    ]
    asked: Any = {"model": "endless", "messages": HELLO, "max_tokens": ENDLESS}

    async def wait_and_ask() -> None:
        async with AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as client:
            waiting = asyncio.create_task(client.chat.completions.create(**asked))  # type: ignore[call-overload]
            while await asyncio.to_thread(running, site) < 3:
                await asyncio.sleep(0.01)
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(**asked)
            assert int(caught.value.response.headers["retry-after"]) >= 1
            assert caught.value.code == "rate_limit_exceeded"
            waiting.cancel()

    asyncio.run(wait_and_ask())
    for stream in held:
        stream.close()
    eventually(lambda: not running(site))


def test_an_error_inside_a_stream_is_its_last_event(tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = make_synthetic_bundle(
        tmp_path_factory.mktemp("dying") / "endless", name="endless", context_length=32_768, eos_bias=-1e4
    )
    site = ApiSite(bundle)
    try:
        with httpx.stream(
            "POST",
            f"{site.url}/v1/chat/completions",
            json={"model": "endless", "messages": HELLO, "max_tokens": ENDLESS, "stream": True},
            timeout=60,
        ) as answer:
            lines = (line.removeprefix("data: ") for line in answer.iter_lines() if line)
            assert json.loads(next(lines))["choices"]
            site.loop.run(site.front_end.drain(0.0))
            last = json.loads(list(lines)[-1])
        assert last["error"]["type"] == "server_error"
        with client_of(site) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(model="endless", messages=HELLO)
            assert caught.value.status_code == 503
    finally:
        site.close()
