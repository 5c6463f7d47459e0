"""What only the gRPC skin decides about encoders: messages, and streams that carry many calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, InvalidRequest, QueueFull
from attendant.frontend.encoding.calls import ClassifyCall, Encoded, EncodingUsage
from attendant.rpc import status
from attendant.rpc.sizes import MANY_RESULTS, num_fills, num_parts
from attendant.rpc.stream import replies
from attendant.tasks.classification import Label
from attendant.tasks.masks import Fill, FilledMask
from attendant.tasks.spans import Span
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc

from tests.rpc.fake import FakeService, NoEncoders, run, serving

USAGE = EncodingUsage(7, 1, 10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9)


class FakeEncoders(NoEncoders):
    """Labels texts by themselves. ``wait`` waits for ever, ``full`` and ``bug`` raise."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, CallContext]] = []
        self.num_live = 0

    async def classify(self, call: ClassifyCall, context: CallContext) -> Encoded[tuple[Label, ...]]:  # type: ignore[override]
        self.calls.append((call, context))
        self.num_live += 1
        try:
            await asyncio.sleep(0)
            text = call.inputs[0].text
            if text == "wait":
                await asyncio.Event().wait()
            if text == "full":
                raise QueueFull("fake", 3, 1.5)
            if text == "bad":
                raise InvalidRequest("inputs[0]", "is bad; allowed: good")
            if text == "bug":
                raise ZeroDivisionError("the secret of the server")
            return Encoded([(Label(item.text, 0.5, 3),) for item in call.inputs], USAGE)
        finally:
            self.num_live -= 1


@asynccontextmanager
async def connected(service: FakeEncoders) -> AsyncIterator[Any]:
    async with serving(FakeService(), encoding=service) as (address, _), grpc.aio.insecure_channel(address) as channel:
        yield encoding_pb2_grpc.EncodingStub(channel)


def classify(call_id: str, text: str) -> pb.EncodingRequest:
    return pb.EncodingRequest(id=call_id, classify=pb.ClassifyRequest(inputs=[pb.TextInput(text=text)]))


def test_a_call_and_its_deadline() -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with connected(service) as stub:
            response = await stub.Classify(classify("", "x").classify, timeout=100)
            assert [label.label for label in response.results[0].labels] == ["x"]
            assert response.usage.queue_s == 1
            assert 0 < service.calls[0][1].time_left_s() < 101
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Classify(classify("", "full").classify)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            call = stub.Classify(classify("", "wait").classify)
            while not service.num_live:
                await asyncio.sleep(0.01)
            call.cancel()
            while service.num_live:
                await asyncio.sleep(0.01)

    run(test)


def test_a_stream_answers_each_call_under_its_id_and_outlives_failures(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with connected(FakeEncoders()) as stub:
            texts = {"1": "x", "2": "full", "3": "bad", "4": "bug", "5": "y"}
            requests = [classify(call_id, text) for call_id, text in texts.items()]
            requests += [
                pb.EncodingRequest(id="6"),
                pb.EncodingRequest(id="7", classify=pb.ClassifyRequest(inputs=[pb.TextInput()])),
            ]
            found = {response.id: response async for response in stub.Stream(iter(requests))}
            assert found.keys() == {*texts, "6", "7"}
            assert {call_id for call_id in found if found[call_id].HasField("classify")} == {"1", "5"}
            full, bad, bug = (found[call_id].error for call_id in "234")
            assert (full.code, full.retry_after_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], 1.5)
            assert (bad.code, bad.field) == (3, "inputs[0]")
            assert "allowed: good" in bad.message
            assert bug.code == grpc.StatusCode.INTERNAL.value[0]
            assert "secret" not in bug.message
            assert (found["6"].error.field, found["7"].error.field) == ("call", "inputs[0]")
        assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)

    run(test)


def test_an_id_in_use_is_refused_and_free_again_later() -> None:
    async def test() -> None:
        async with connected(FakeEncoders()) as stub:
            call = stub.Stream()
            await call.write(classify("1", "wait"))
            await call.write(classify("1", "x"))
            refused = await call.read()
            assert (refused.id, refused.error.field) == ("1", "id")
            for _ in range(2):
                await call.write(classify("2", "x"))
                assert (await call.read()).classify.results
            call.cancel()

    run(test)


@pytest.mark.parametrize("how", ["cancel", "connection"])
def test_closing_a_stream_cancels_what_runs(how: str) -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with serving(FakeService(), encoding=service) as (address, _):
            channel = grpc.aio.insecure_channel(address)
            call = encoding_pb2_grpc.EncodingStub(channel).Stream()
            for number in range(5):
                await call.write(classify(str(number), "wait"))
            while service.num_live < 5:
                await asyncio.sleep(0.01)
            call.cancel() if how == "cancel" else await channel.close()
            while service.num_live:
                await asyncio.sleep(0.01)
            await channel.close()

    run(test)


def test_calls_that_run_are_answered_after_the_sender_has_done() -> None:
    async def test() -> None:
        async with connected(FakeEncoders()) as stub:
            call = stub.Stream()
            for number in range(300):
                await call.write(classify(str(number), f"text {number}"))
            await call.done_writing()
            found = {response.id: response.classify.results[0].labels[0].label async for response in call}
            assert found == {str(number): f"text {number}" for number in range(300)}

    run(test)


def test_a_message_that_cannot_be_read_ends_its_stream() -> None:
    async def test() -> None:
        service = FakeEncoders()
        async with (
            serving(FakeService(), encoding=service) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            call = channel.stream_stream("/attendant.v1.Encoding/Stream")()  # type: ignore[var-annotated]
            await call.write(classify("1", "wait").SerializeToString())
            await call.write(b"\xff\xff\xff")
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
            while service.num_live:
                await asyncio.sleep(0.01)

    run(test)


async def turns() -> None:
    """Let everything on the loop go as far as it can."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_no_more_is_read_than_may_run() -> None:
    async def test() -> None:
        read: list[str] = []
        gate = asyncio.Event()

        async def requests() -> AsyncIterator[pb.EncodingRequest]:
            for number in range(20):
                read.append(str(number))
                yield classify(str(number), "x")

        async def answer(request: pb.EncodingRequest) -> pb.EncodingResponse:
            await gate.wait()
            return pb.EncodingResponse(id=request.id)

        responses = replies(requests(), answer, max_calls=4)
        first = asyncio.ensure_future(anext(responses))
        await turns()
        assert len(read) == 5  # four run, the fifth waits for a place
        gate.set()
        await first
        await turns()
        assert len(read) <= 6  # a slow reader of responses holds the sender up, too
        assert len([response async for response in responses]) == 19

    run(test)


def test_every_error_has_its_code_in_a_stream_too() -> None:
    for kind, code in status.CODES.items():
        error = kind.__new__(kind)
        AttendantError.__init__(error, "words")
        for name, value in (("field", "f"), ("reason", "r"), ("retry_after_s", 2.0)):
            setattr(error, name, value)
        assert status.call_error(error).code == code.value[0]


def test_results_of_many_parts_are_written_off_the_loop() -> None:
    fills = tuple(Fill(i, "a", 0.5, "a text") for i in range(100))
    long = (Fill(0, "a", 0.5, "a" * 200_000),)
    assert num_fills([(FilledMask(Span(), fills[:5]),)]) == 5
    assert num_fills([(FilledMask(Span(), fills),) * 2]) > MANY_RESULTS
    assert num_fills([(FilledMask(Span(), long),)]) > MANY_RESULTS
    assert num_parts([(1,) * 100, (2,) * 29]) > MANY_RESULTS
