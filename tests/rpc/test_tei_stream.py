"""Streams of tei.v1: side by side, answered in order, bounded; how they fail, and what is left when the client goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest, QueueFull
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall, Encoded, EncodingUsage, RerankCall
from attendant.rpc.stream import MAX_CALLS
from attendant.rpc.tei import ranking
from attendant.tasks.classification import Label, RankedDocument
from attendant_proto.tei import tei_pb2 as pb
from attendant_proto.tei import tei_pb2_grpc

from tests.rpc.fake import FakeService, NoEncoders, run, serving
from tests.rpc.tei_server import make_models, refused, tei_server

USAGE = EncodingUsage(7, 0, 4_000_000, 2_000_000, 3_000_000, 9_000_000)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What the server logs of its own faults is no news here."""
    with caplog.at_level(logging.CRITICAL):
        yield


class FakeEncoders(NoEncoders):
    """Labels a text by itself, and ranks one by its length. ``wait`` waits until ``go`` is set; ``full``, ``bad`` and
    ``bug`` raise."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.num_live = 0
        self.go = asyncio.Event()

    async def classify(self, call: ClassifyCall, context: CallContext) -> Encoded[tuple[Label, ...]]:  # type: ignore[override]
        await self._work(call, call.inputs[0].text)
        return Encoded([(Label(call.inputs[0].text, 0.5, 0),)], USAGE)

    async def rerank(self, call: RerankCall, context: CallContext) -> Encoded[RankedDocument]:  # type: ignore[override]
        (document,) = call.documents
        await self._work(call, document)
        return Encoded([RankedDocument(0, float(len(document)))], USAGE)

    async def _work(self, call: Any, text: str) -> None:
        self.calls.append(call)
        self.num_live += 1
        try:
            await asyncio.sleep(0)
            if text == "wait":
                await self.go.wait()
            if text == "full":
                raise QueueFull("fake", 3, 1.5)
            if text == "bad":
                raise InvalidRequest("documents[0]" if isinstance(call, RerankCall) else "inputs[0]", "is bad")
            if text == "bug":
                raise ZeroDivisionError("the secret of the server")
        finally:
            self.num_live -= 1


@asynccontextmanager
async def connected(service: FakeEncoders) -> AsyncIterator[grpc.aio.Channel]:
    async with serving(FakeService(), encoding=service) as (address, _), grpc.aio.insecure_channel(address) as channel:
        yield channel


def predict(channel: grpc.aio.Channel, *texts: str, **how: Any) -> Any:
    stub = tei_pb2_grpc.PredictStub(channel)  # type: ignore[arg-type]
    return stub.PredictStream(iter([pb.PredictRequest(inputs=text) for text in texts]), **how)


def rank(channel: grpc.aio.Channel, *requests: pb.RerankStreamRequest) -> Any:
    return tei_pb2_grpc.RerankStub(channel).RerankStream(iter(requests))  # type: ignore[arg-type]


def fit(query: str, text: str, **how: Any) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(query=query, text=text, **how)


async def unfinished(*messages: Any) -> AsyncIterator[Any]:
    """Messages, and no end: the asyncio client would say INTERNAL itself, now and then, where a call fails just as it
    says that it has sent all."""
    for message in messages:
        yield message
    await asyncio.Event().wait()


async def labels(call: Any) -> list[str]:
    return [response.predictions[0].label async for response in call]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_answers_come_in_the_order_of_their_requests() -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as channel:
            call = predict(channel, "a", "wait", "b", "c", metadata=(("model", "moods@2"),))
            responses = aiter(call)
            assert (await anext(responses)).predictions[0].label == "a"
            await until(lambda: len(service.calls) == 4 and service.num_live == 1)
            service.go.set()
            assert await labels(responses) == ["wait", "b", "c"]
            assert {(each.model, each.patient) for each in service.calls} == {("moods@2", True)}
            assert not any(key.startswith("x-total") for key, _ in await call.trailing_metadata())
            assert await labels(predict(channel)) == []
            one = await tei_pb2_grpc.PredictStub(channel).Predict(pb.PredictRequest(inputs="a"))  # type: ignore[arg-type]
            assert one.predictions[0].label == "a"
            assert not service.calls[-1].patient, "a call of its own is refused where there is no place"

    run(test)


def test_a_model_without_vectors_of_tokens_is_refused_in_words_of_this_contract() -> None:
    class Whole(FakeEncoders):
        async def embed(self, call: EmbedCall, context: CallContext) -> Any:  # type: ignore[override]
            raise InvalidRequest(
                "per_token", "is true; allowed: false, as this model gives one vector for each input only"
            )

    async def test() -> None:
        async with connected(Whole()) as channel:
            stub = tei_pb2_grpc.EmbedStub(channel)  # type: ignore[arg-type]
            code, field, said = await refused(stub.EmbedAll(pb.EmbedAllRequest(inputs="a")))
            assert (code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "model")
            assert "gives one vector for each input only" in said

    run(test)


def test_no_more_are_read_than_may_run() -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as channel:
            call = predict(channel, *["wait"] * (MAX_CALLS + 40))
            reading = asyncio.ensure_future(labels(call))
            await until(lambda: service.num_live >= MAX_CALLS)
            other = predict(channel, "a")
            assert await labels(other) == ["a"]
            assert service.num_live == MAX_CALLS
            service.go.set()
            assert len(await reading) == MAX_CALLS + 40

    run(test)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("full", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("bad", grpc.StatusCode.INVALID_ARGUMENT),
        ("bug", grpc.StatusCode.INTERNAL),
    ],
)
def test_the_first_that_fails_ends_the_stream_after_those_before_it(text: str, code: grpc.StatusCode) -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as channel:
            requests = [pb.PredictRequest(inputs=each) for each in ("wait", "b", text, "wait", "bad")]
            call = tei_pb2_grpc.PredictStub(channel).PredictStream(unfinished(*requests))  # type: ignore[arg-type]
            found: list[str] = []

            async def read() -> None:
                async for response in call:
                    found.append(response.predictions[0].label)

            reading = asyncio.ensure_future(read())
            await until(lambda: len(service.calls) == 5)
            service.go.set()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reading
            assert found == ["wait", "b"]
            assert caught.value.code() is code
            assert "secret" not in caught.value.details()
            await until(lambda: service.num_live == 0)

    run(test)


def test_a_message_that_cannot_be_read_ends_the_stream_after_those_before_it() -> None:
    async def test() -> None:
        async with connected(FakeEncoders()) as channel:
            stream: Any = channel.stream_stream("/tei.v1.Predict/PredictStream", None, pb.PredictResponse.FromString)
            call = stream(unfinished(pb.PredictRequest(inputs="a").SerializeToString(), b"\xff"))
            assert (await call.read()).predictions[0].label == "a"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(test)


@pytest.mark.parametrize("ranked", [False, True])
def test_a_client_that_goes_leaves_nothing_behind(ranked: bool) -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as channel:
            call = rank(channel, *[fit("q", "wait")] * 30) if ranked else predict(channel, "a", *["wait"] * 30)
            reading = asyncio.ensure_future(call if ranked else labels(call))
            await until(lambda: service.num_live == 30)
            call.cancel()
            await asyncio.wait([reading])
            await until(lambda: service.num_live == 0)

    run(test)


def test_a_deadline_ends_a_stream() -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await labels(predict(channel, "wait", timeout=0.5))
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: service.num_live == 0)

    run(test)


def test_texts_of_a_stream_become_one_ranking() -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as channel:
            call = rank(channel, fit("q", "a"), fit("qq", "wait"), fit("q", "bb", return_text=True), fit("", "b"))
            await until(lambda: len(service.calls) == 4)
            service.go.set()
            found = await call
            assert [(each.index, each.score) for each in found.ranks] == [(1, 4), (2, 2), (0, 1), (3, 1)]
            assert not any(each.HasField("text") for each in found.ranks), "the first request has not asked for them"
            assert sorted(each.query for each in service.calls) == ["", "q", "q", "qq"]
            told = found.metadata
            assert (told.compute_chars, told.compute_tokens) == (1 + 1 + 2 + 4 + 1 + 2 + 0 + 1, 4 * 7)
            assert (told.tokenization_time_ns, told.inference_time_ns) == (2_000_000, 3_000_000), "the means"
            assert dict(await call.initial_metadata())["x-compute-tokens"] == "28"

            first = fit("q", "a", raw_scores=True, return_text=True)
            found = await rank(channel, first, fit("q", "bb"))
            assert [(each.index, each.text) for each in found.ranks] == [(1, "bb"), (0, "a")]
            assert all(each.raw_scores for each in service.calls[4:])

    run(test)


def test_what_a_ranking_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MAX_TEXTS", 3)
    monkeypatch.setattr(ranking, "MAX_KEPT_CHARACTERS", 3)

    async def test() -> None:
        async with connected(FakeEncoders()) as channel:
            for requests, field, words in (
                ([], "text", "is missing"),
                ([fit("q", "a")] * 4, "text", "comes more than 3 times"),
                ([fit("q", "aa", return_text=True)] * 2, "return_text", "more than 3 characters"),
                ([fit("q", "a"), fit("q", "bad")], "text", "text is bad"),
                ([fit("q", "a", truncation_direction=5)], "truncation_direction", "is 5"),
            ):
                sent = unfinished(*requests) if requests else iter(requests)
                code, found, said = await refused(tei_pb2_grpc.RerankStub(channel).RerankStream(sent))  # type: ignore[arg-type]
                assert (code, found) == (grpc.StatusCode.INVALID_ARGUMENT, field)
                assert words in said

    run(test)


def test_every_stream_gives_what_single_calls_give(tmp_path: Path) -> None:
    """Real models: each kind of stream, longer than what runs at once and than the queue."""
    parts = make_models(tmp_path)
    words = [f"{index:b}"[-8:] for index in range(300)]

    async def test() -> None:
        async with tei_server([parts[name] for name in ("vectors", "masks", "moods", "ranks")]) as stubs:
            kinds: list[tuple[Any, Any, Callable[[str], Any], dict[str, Any]]] = [
                (stubs.embed.Embed, stubs.embed.EmbedStream, lambda word: pb.EmbedRequest(inputs=word), {}),
                (stubs.embed.EmbedSparse, stubs.embed.EmbedSparseStream, lambda w: pb.EmbedSparseRequest(inputs=w), {}),
                (stubs.embed.EmbedAll, stubs.embed.EmbedAllStream, lambda w: pb.EmbedAllRequest(inputs=w), {}),
                (stubs.predict.Predict, stubs.predict.PredictStream, lambda w: pb.PredictRequest(inputs=w), {}),
                (
                    *(stubs.predict.PredictPair, stubs.predict.PredictPairStream),
                    *(lambda w: pb.PredictPairRequest(inputs=[w, "x"]), {}),
                ),
                (
                    *(stubs.tokenize.Tokenize, stubs.tokenize.TokenizeStream, lambda w: pb.EncodeRequest(inputs=w)),
                    {"metadata": (("model", "moods"),)},
                ),
                (
                    *(stubs.tokenize.Decode, stubs.tokenize.DecodeStream, lambda w: pb.DecodeRequest(ids=w.encode())),
                    {"metadata": (("model", "moods"),)},
                ),
            ]
            for one, many, make, how in kinds:
                found = [response async for response in many(iter([make(word) for word in words]), **how)]
                assert len(found) == len(words)
                for index in (0, 1, 150, 299):
                    alone = await one(make(words[index]), **how)
                    for message in (alone, found[index]):
                        if hasattr(message, "metadata"):
                            message.ClearField("metadata")
                    assert alone == found[index]
            request = pb.RerankRequest(query="q", texts=words, raw_scores=True, return_text=True)
            whole = await stubs.rerank.Rerank(request)
            each = [fit("q", word, raw_scores=True, return_text=True) for word in words]
            assert (await stubs.rerank.RerankStream(iter(each))).ranks == whole.ranks

    run(test)
