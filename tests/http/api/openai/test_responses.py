"""Responses over a socket, as OpenAI's own client speaks them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import openai
import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart
from attendant.core.generation import Finish, GenerationCall
from openai import AsyncOpenAI

from tests.http.api.openai.conftest import ENDLESS, ENDS, running, whole_answer
from tests.http.api.served import ApiSite
from tests.http.page.served import eventually
from tests.synthetic import EOS

CALL = GenerationCall("model", ChatPrompt((ChatMessage("user", "hello"),)), whole=True, temperature=0.0)
ENDS_SOON: dict[str, Any] = {"extra_body": {"logit_bias": ENDS["logit_bias"], **ENDS["extra_body"]}}


def expected(site: ApiSite, **changes: Any) -> tuple[str, Finish]:
    return whole_answer(site, replace(CALL, **changes))


def test_a_response_is_the_front_ends(site: ApiSite, client: Any) -> None:
    text, finish = expected(site, min_tokens=6, logit_bias={EOS: 100.0})
    found = client.responses.create(model="model", input="hello", temperature=0, **ENDS_SOON)
    assert found.output_text == text
    assert (found.status, found.error, found.model_extra["store"]) == ("completed", None, False)
    assert found.usage.input_tokens == finish.usage.prompt_tokens
    assert found.usage.output_tokens == finish.usage.completion_tokens


def test_a_response_that_was_cut_is_incomplete(site: ApiSite, client: Any) -> None:
    text, _ = expected(site, max_tokens=5)
    found = client.responses.create(model="model", input="hello", temperature=0, max_output_tokens=5)
    assert (found.output_text, found.status) == (text, "incomplete")
    assert found.incomplete_details.reason == "max_output_tokens"


def test_instructions_come_first(site: ApiSite, client: Any) -> None:
    prompt = ChatPrompt((ChatMessage("system", "be kind"), ChatMessage("user", "hello")))
    text, finish = expected(site, prompt=prompt, max_tokens=5)
    found = client.responses.create(
        model="model", instructions="be kind", input="hello", temperature=0, max_output_tokens=5
    )
    assert (found.output_text, found.usage.input_tokens) == (text, finish.usage.prompt_tokens)


def test_a_stream_is_the_same_response(site: ApiSite, client: Any) -> None:
    text, _ = expected(site, min_tokens=6, logit_bias={EOS: 100.0})
    told = list(client.responses.create(model="model", input="hello", temperature=0, stream=True, **ENDS_SOON))
    assert "".join([event.delta for event in told if event.type == "response.output_text.delta"]) == text
    assert told[-1].type == "response.completed"
    assert told[-1].response.output_text == text


def test_the_stream_helper_puts_a_response_together(site: ApiSite, client: Any) -> None:
    text, _ = expected(site, min_tokens=6, logit_bias={EOS: 100.0})
    with client.responses.stream(model="model", input="hello", temperature=0, **ENDS_SOON) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert {"response.created", "response.output_text.done", "response.completed"} <= kinds
    assert final.output_text == text


def test_a_conversation_goes_on_with_all_of_it(site: ApiSite, client: Any) -> None:
    first = client.responses.create(model="model", input="hello", temperature=0, max_output_tokens=5)
    items = [{"role": "user", "content": "hello"}, *first.output, {"role": "user", "content": "more"}]
    found = client.responses.create(model="model", input=items, temperature=0, max_output_tokens=5)
    answer = ChatMessage("assistant", (TextPart(first.output_text),))
    told = ChatPrompt((ChatMessage("user", "hello"), answer, ChatMessage("user", "more")))
    text, finish = expected(site, prompt=told, max_tokens=5)
    assert (found.output_text, found.usage.input_tokens) == (text, finish.usage.prompt_tokens)


@pytest.mark.parametrize(
    ("changes", "kind", "param"),
    [
        ({"model": "none"}, openai.NotFoundError, "model"),
        ({"max_output_tokens": 0}, openai.BadRequestError, "max_output_tokens"),
        ({"temperature": 1000}, openai.BadRequestError, "temperature"),
        ({"previous_response_id": "resp_1"}, openai.BadRequestError, "previous_response_id"),
        ({"store": True}, openai.BadRequestError, "store"),
        ({"tools": [{"type": "web_search"}]}, openai.BadRequestError, "tools[0].type"),
        (
            {"include": ["message.output_text.logprobs"], "top_logprobs": 1000},
            openai.BadRequestError,
            "top_logprobs",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_an_exception_with_the_field(
    client: Any, changes: dict[str, Any], kind: type[openai.APIStatusError], param: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        client.responses.create(**{"model": "model", "input": "hello", "stream": stream} | changes)
    assert caught.value.param == param


def test_input_that_is_too_long_has_a_code(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="model", input="x" * 300)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


def test_who_goes_away_ends_the_work(site: ApiSite, client: Any) -> None:
    stream = client.responses.create(model="endless", input="hello", max_output_tokens=ENDLESS, stream=True)
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    assert running(site)
    stream.close()
    eventually(lambda: not running(site))


def test_the_asynchronous_client(site: ApiSite) -> None:
    text, _ = expected(site, max_tokens=8)

    async def main() -> None:
        async with AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as client:
            asked: dict[str, Any] = {"model": "model", "input": "hello", "temperature": 0, "max_output_tokens": 8}
            whole = await client.responses.create(**asked)
            assert whole.output_text == text
            raw = await client.responses.with_raw_response.create(**asked)
            assert raw.parse().output_text == text
            streamed = await client.responses.create(**asked, stream=True)
            deltas = [event.delta async for event in streamed if event.type == "response.output_text.delta"]
            assert "".join(deltas) == text

    asyncio.run(main())
