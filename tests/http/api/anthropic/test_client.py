"""Anthropic's own client against a real front end: answers are the front end's, errors are the client's exceptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Literal

import anthropic
import httpx
import pydantic
import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, ToolCallDelta
from attendant.core.errors import StepFailed
from attendant.core.generation import Delta, Finish, GenerationCall, GenerationPart
from attendant.core.request import FinishReason, Timings, Usage
from attendant.http.api.answers import Events, in_events, in_one
from attendant.http.api.anthropic.answers import Asked, events, message
from attendant.http.api.anthropic.errors import ANTHROPIC
from attendant.http.app import app_of
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.http.api.served import ApiSite
from tests.http.loop import HANGS_S, Site
from tests.http.page.served import eventually
from tests.synthetic import make_synthetic_bundle

ASKED = {"model": "m", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    folder = tmp_path_factory.mktemp("bundles")
    endless = make_synthetic_bundle(folder / "endless", name="endless", eos_bias=-1e4, context_length=60_000)
    site = ApiSite(make_synthetic_bundle(folder / "m", name="m", eos_bias=-1e4), endless, max_num_seqs=2)
    yield site
    site.close()


@pytest.fixture
def client(site: ApiSite) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=site.url, api_key="any", max_retries=0) as client:
        yield client


def expected(site: ApiSite, **fields: object) -> tuple[str, Usage]:
    prompt = ChatPrompt((ChatMessage("user", "hello"),))
    call = GenerationCall("m", prompt, max_tokens=20, **fields)  # type: ignore[arg-type]
    parts = site.generated(call)
    (end,) = [part for part in parts if isinstance(part, Finish)]
    return "".join(part.text for part in parts if isinstance(part, Delta)), end.usage


def test_an_answer_is_the_front_ends(site: ApiSite, client: anthropic.Anthropic) -> None:
    text, usage = expected(site)
    answer = client.messages.create(**ASKED)  # type: ignore[call-overload]
    (block,) = answer.content
    assert (block.type, block.text) == ("text", text)
    assert (answer.model, answer.role, answer.type) == ("m", "assistant", "message")
    assert (answer.stop_reason, answer.stop_sequence) == ("max_tokens", None)
    counted = answer.usage
    assert counted.input_tokens + (counted.cache_read_input_tokens or 0) == usage.prompt_tokens
    assert counted.output_tokens == 20
    assert answer.id == f"msg_{answer._request_id}"


def test_a_stream_has_every_event_in_order(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(**ASKED, stream=True) as response:  # type: ignore[call-overload]
        lines = [line for line in response.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    data = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert names == [event["type"] for event in data]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert data[0]["message"]["content"] == []
    assert data[0]["message"]["stop_reason"] is None
    assert data[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}


def test_a_stream_says_what_a_whole_answer_says(site: ApiSite, client: anthropic.Anthropic) -> None:
    text, _ = expected(site)
    with client.messages.stream(**ASKED) as stream:  # type: ignore[arg-type]
        assert "".join(stream.text_stream) == text
        whole = client.messages.create(**ASKED)  # type: ignore[call-overload]
        final = stream.get_final_message()
    assert [(block.type, block.text) for block in final.content] == [("text", text)]  # type: ignore[union-attr]
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


def test_asynchronous_calls_side_by_side(site: ApiSite) -> None:
    text, _ = expected(site)

    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=site.url, api_key="any", max_retries=0) as client:

            async def streamed() -> str:
                async with client.messages.stream(**ASKED) as stream:  # type: ignore[arg-type]
                    return await stream.get_final_text()

            async def whole() -> str:
                answer = await client.messages.create(**ASKED)  # type: ignore[call-overload]
                return str(answer.content[0].text)

            assert await asyncio.gather(streamed(), whole(), streamed()) == [text] * 3

    asyncio.run(main())


def test_a_stop_sequence_is_told(site: ApiSite, client: anthropic.Anthropic) -> None:
    text, _ = expected(site)
    stop = next(each for index, each in enumerate(text) if index > 2 and each.isascii() and text.index(each) == index)
    answer = client.messages.create(**ASKED, stop_sequences=[stop])  # type: ignore[call-overload]
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", stop)
    assert answer.content[0].text == text[: text.index(stop)]


def test_the_end_of_the_context_is_told(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(**{**ASKED, "max_tokens": 4000})  # type: ignore[call-overload]
    assert answer.stop_reason == "model_context_window_exceeded"
    assert answer.usage.output_tokens < 256


def test_an_answer_goes_on_with_the_last_message(site: ApiSite, client: anthropic.Anthropic) -> None:
    messages = [*ASKED["messages"], {"role": "assistant", "content": "so"}]  # type: ignore[misc]
    chat = ChatPrompt((ChatMessage("user", "hello"), ChatMessage("assistant", "so")), continues=True)
    parts = site.generated(GenerationCall("m", chat, max_tokens=20))
    answer = client.messages.create(**{**ASKED, "messages": messages})  # type: ignore[call-overload]
    assert answer.content[0].text == "".join(part.text for part in parts if isinstance(part, Delta))


def test_tokens_are_counted(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="m", messages=ASKED["messages"])  # type: ignore[arg-type]
    assert counted.input_tokens == len(b"hello") + 3  # of the template: user, end, assistant
    longer = client.messages.count_tokens(model="m", messages=ASKED["messages"], system="be brief")  # type: ignore[arg-type]
    assert longer.input_tokens == counted.input_tokens + len(b"be brief") + 2


class Mood(pydantic.BaseModel):
    mood: Literal["glad", "sad"]
    sure: bool


def test_an_answer_fits_a_schema(client: anthropic.Anthropic) -> None:
    asked = {**ASKED, "max_tokens": 200, "output_format": Mood}
    whole = client.messages.parse(**asked)  # type: ignore[arg-type]
    with client.messages.stream(**asked) as stream:  # type: ignore[arg-type]
        streamed = stream.get_final_message()
    assert isinstance(whole.parsed_output, Mood)
    assert (streamed.parsed_output, streamed.stop_reason) == (whole.parsed_output, "end_turn")
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format\.schema "):
        client.messages.create(
            **ASKED, output_config={"format": {"type": "json_schema", "schema": {"type": "nonsense"}}}
        )  # type: ignore[call-overload]


def test_models_are_listed_page_by_page(client: anthropic.Anthropic) -> None:
    pages = client.models.list(limit=1)
    assert (len(pages.data), pages.has_more) == (1, True)
    assert [model.id for model in pages] == [model.id for model in client.models.list()]
    assert {model.id for model in client.models.list()} == {"m", "endless"}
    first, last = [model.id for model in client.models.list()]
    before = client.models.list(before_id=last)
    assert ([model.id for model in before.data], before.has_more) == ([first], False)
    model = client.models.retrieve("m")
    assert (model.type, model.id, model.display_name, model.max_input_tokens) == ("model", "m", "m", 256)
    assert model.created_at.tzinfo is not None
    with pytest.raises(anthropic.NotFoundError, match="no model named 'x'"):
        client.models.retrieve("x")
    for wrong in ({"limit": 0}, {"after_id": "x"}):
        with pytest.raises(anthropic.BadRequestError, match=next(iter(wrong))):
            client.models.list(**wrong)  # type: ignore[arg-type]


def test_the_raw_answer(client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(**ASKED)  # type: ignore[call-overload]
    assert (raw.status_code, raw.headers["content-type"]) == (200, "application/json")
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.parse().stop_reason == "max_tokens"


def test_errors_are_the_clients_exceptions(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(**{**ASKED, "model": "x"})  # type: ignore[call-overload]
    assert unknown.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert unknown.value.request_id == unknown.value.body["request_id"]  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: messages has 503 tokens"):
        client.messages.create(**{**ASKED, "messages": [{"role": "user", "content": "x" * 500}]})  # type: ignore[call-overload]
    with pytest.raises(anthropic.BadRequestError, match="stop_sequences"):
        client.messages.create(**ASKED, stop_sequences=[""])  # type: ignore[call-overload]
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        client.messages.create(**ASKED, stream=True, extra_body={"top_k": -3})  # type: ignore[call-overload]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with pytest.raises(
        anthropic.BadRequestError, match="thinking is 'high', and the model's chat template has nothing"
    ):
        client.messages.create(**{**ASKED, "max_tokens": 2000}, thinking=thinking)  # type: ignore[call-overload]
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.effort is 'low'"):
        client.messages.count_tokens(model="m", messages=ASKED["messages"], output_config={"effort": "low"})  # type: ignore[arg-type]
    with pytest.raises(anthropic.BadRequestError, match="tools are given, and the model's chat template does not"):
        client.messages.create(**ASKED, tools=[{"name": "x", "input_schema": {"type": "object"}}])  # type: ignore[call-overload]
    with pytest.raises(anthropic.NotFoundError):
        client.post("/v1/messages/nothing", cast_to=httpx.Response, body={})


@pytest.mark.parametrize("sent", [b"", b"{", b"[1]", b'{"model": "\\ud800"}', b"[" * 100_000, b'{"max_tokens": 1e999}'])
def test_hostile_bodies_are_refused(site: ApiSite, sent: bytes) -> None:
    status, body = site.post("/v1/messages", sent)
    assert (status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")


def running(site: ApiSite) -> int:
    return site.metrics.counts()["endless"].running


def test_a_caller_who_leaves_mid_stream_frees_its_place(site: ApiSite, client: anthropic.Anthropic) -> None:
    with client.messages.create(**{**ASKED, "model": "endless", "max_tokens": 59_000}, stream=True) as stream:  # type: ignore[call-overload]
        next(iter(stream))
        eventually(lambda: running(site) == 1)
    eventually(lambda: running(site) == 0)


def test_a_task_that_is_cancelled_mid_stream_or_while_it_waits_frees_its_place(site: ApiSite) -> None:
    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=site.url, api_key="any", max_retries=0, timeout=HANGS_S) as client:
            asked = {**ASKED, "model": "endless", "max_tokens": 59_000}
            tasks = [asyncio.ensure_future(client.messages.create(**asked)) for _ in range(3)]  # type: ignore[call-overload]
            counts = site.metrics.counts
            await asyncio.to_thread(eventually, lambda: counts()["endless"].waiting == 1)  # two run
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(eventually, lambda: running(site) == 0 and counts()["endless"].waiting == 0)

    asyncio.run(main())


def said(parts: list[GenerationPart], *, shown: bool = True, fails: bool = False) -> Site:
    """An API that answers with these parts, whoever asks."""
    asked = Asked("msg_1", "m", 9, shown)

    async def told() -> AsyncGenerator[GenerationPart, None]:
        for part in parts:
            yield part
        if fails:
            raise StepFailed("the run failed")

    async def answer(request: Request) -> Response:
        if (await request.json()).get("stream"):

            async def work() -> Events:
                return events(told(), asked)

            return await in_events(request, ANTHROPIC, work)
        return await in_one(request, ANTHROPIC, lambda: message(told(), asked))

    return Site(app_of([Route("/v1/messages", answer, methods=["POST"])]))


def end(reason: FinishReason = FinishReason.STOP, **fields: object) -> Finish:
    return Finish(0, reason, Usage(7, 4, 5), Timings(), **fields)  # type: ignore[arg-type]


CALLS: list[GenerationPart] = [
    Delta(0, "", (1,), prompt_tokens=7, reasoning="let me "),
    Delta(0, "Look", (2,), reasoning="see"),
    Delta(0, "ing.", (3,), tool_calls=(ToolCallDelta(0, id="a", name="weather"),)),
    Delta(0, "", (4,), tool_calls=(ToolCallDelta(0, '{"city": "Kö'),)),
    Delta(0, "", (5,), tool_calls=(ToolCallDelta(0, 'ln"}'), ToolCallDelta(1, "{}", "b", "time"))),
    end(num_tool_calls=2, num_reasoning_tokens=2),
]


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "omitted"])
def test_thoughts_and_tools_stream_as_blocks(shown: bool) -> None:
    site = said(CALLS, shown=shown)
    with anthropic.Anthropic(base_url=f"http://{site.address}", api_key="any", max_retries=0) as client:
        whole = client.messages.create(**ASKED)  # type: ignore[call-overload]
        with client.messages.stream(**ASKED) as stream:  # type: ignore[arg-type]
            streamed = stream.get_final_message()
    site.close()
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
    thought, text, weather, time = whole.content
    assert (thought.type, thought.thinking) == ("thinking", "let me see" if shown else "")
    assert thought.signature
    assert (text.type, text.text) == ("text", "Looking.")
    assert (weather.type, weather.id, weather.name, weather.input) == ("tool_use", "a", "weather", {"city": "Köln"})
    assert (time.type, time.id, time.name, time.input) == ("tool_use", "b", "time", {})
    for answer in (whole, streamed):
        assert answer.stop_reason == "tool_use"
        counted = answer.usage
        assert (counted.input_tokens, counted.cache_read_input_tokens, counted.output_tokens) == (3, 4, 5)
        assert counted.output_tokens_details is not None
        assert counted.output_tokens_details.thinking_tokens == 2


def test_a_call_that_was_cut_off_is_as_whole_as_a_stream_has_it() -> None:
    cut: list[GenerationPart] = [*CALLS[2:4], end(FinishReason.LENGTH, num_tool_calls=1)]
    site = said(cut)
    with anthropic.Anthropic(base_url=f"http://{site.address}", api_key="any", max_retries=0) as client:
        whole = client.messages.create(**ASKED)  # type: ignore[call-overload]
        with client.messages.stream(**ASKED) as stream:  # type: ignore[arg-type]
            streamed = stream.get_final_message()
    site.close()
    assert whole.content[1].input == streamed.content[1].input == {}  # type: ignore[union-attr]
    assert whole.stop_reason == "model_context_window_exceeded"  # five of nine tokens


def test_a_call_that_cannot_be_read_is_text_with_a_flag() -> None:
    site = said([Delta(0, "<tool_call>{", (1,), prompt_tokens=7), end(unparsed=True)])
    with anthropic.Anthropic(base_url=f"http://{site.address}", api_key="any", max_retries=0) as client:
        whole = client.messages.create(**ASKED)  # type: ignore[call-overload]
        told = [event for event in client.messages.create(**ASKED, stream=True) if event.type == "message_delta"]  # type: ignore[call-overload]
    site.close()
    assert (whole.content[0].text, whole.stop_reason) == ("<tool_call>{", "end_turn")
    assert whole.unparsed_tool_call is True
    assert told[0].delta.unparsed_tool_call is True


def test_a_call_that_turns_out_to_be_none_is_told_before_its_text() -> None:
    """Who reads slowly gets its last arguments and its text in one part."""
    last = Delta(0, '<tool_call>{"city": "Kö', (5,), tool_calls=(ToolCallDelta(0, "ö"),))
    begun = Delta(0, "", (3,), tool_calls=(ToolCallDelta(0, '{"city": "K', "a", "weather"),))
    site = said([begun, last, end(unparsed=True)])
    with anthropic.Anthropic(base_url=f"http://{site.address}", api_key="any", max_retries=0) as client:
        whole = client.messages.create(**ASKED)  # type: ignore[call-overload]
        with client.messages.stream(**ASKED) as stream:  # type: ignore[arg-type]
            streamed = stream.get_final_message()
    site.close()
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
    assert [(block.type, block.to_dict().get("id")) for block in whole.content] == [("tool_use", "a"), ("text", None)]


def test_an_error_inside_a_stream_is_its_last_event() -> None:
    site = said([Delta(0, "so", (1,), prompt_tokens=7)], fails=True)
    with (
        anthropic.Anthropic(base_url=f"http://{site.address}", api_key="any", max_retries=0) as client,
        client.messages.stream(**ASKED) as stream,  # type: ignore[arg-type]
        pytest.raises(anthropic.APIStatusError) as failed,
    ):
        stream.until_done()
    site.close()
    assert failed.value.body["type"] == "error"  # type: ignore[index]
    assert failed.value.body["error"] == {"type": "api_error", "message": "the run failed"}  # type: ignore[index]
