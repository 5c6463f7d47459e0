"""Streams of requests: side by side, each under its own id, and nothing is left of one that ends early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from attendant.core.context import CallContext
from attendant.core.errors import ModelNotFound, QueueFull, StreamNeeded
from attendant.rpc.openinference import infer
from attendant.rpc.openinference.infer import Inference
from attendant.rpc.openinference.models import Found
from attendant.rpc.openinference.ports import InferAnswer, InferCall, Port, Tensor, TensorSpec
from attendant.rpc.openinference.stream import responses
from attendant.rpc.server import RpcServer
from attendant.settings import GrpcSettings
from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import inference_pb2_grpc

from tests.rpc.fake import FakeFrontEnd, FakeService, NoEncoders, run
from tests.rpc.openinference.helpers import refused, request, tensor, tensors


class FakePort:
    """Answers with its texts, each a response: ``wait`` waits for ever, ``full`` and ``bug`` raise, ``slow`` waits
    until it may go. ``last`` is told with the last, if the port knows."""

    inputs = (TensorSpec("text", "BYTES", (-1,)),)
    outputs = (TensorSpec("text", "BYTES", (-1,)),)

    def __init__(self, *, decoupled: bool, knows: bool = False) -> None:
        self.decoupled = decoupled
        self.knows = knows
        self.contexts: list[CallContext] = []
        self.num_live = self.num_made = 0
        self.go = asyncio.Event()

    async def answer(self, call: InferCall, context: CallContext, *, alone: bool) -> AsyncGenerator[InferAnswer, None]:
        self.contexts.append(context)
        self.num_live += 1
        texts = [text.decode() for text in call.inputs["text"].values]
        if alone and len(texts) > 1:
            raise StreamNeeded("there are several; call ModelStreamInfer")
        try:
            for place, text in enumerate(texts):
                await asyncio.sleep(0)
                match text:
                    case "wait":
                        await asyncio.Event().wait()
                    case "slow":
                        await self.go.wait()
                    case "full":
                        raise QueueFull("fake", 3, 1.5)
                    case "bug":
                        raise ZeroDivisionError("the secret of the server")
                words = np.empty(1, object)
                words[:] = [text.encode()]
                self.num_made += 1
                yield InferAnswer([Tensor("text", "BYTES", words)], last=self.knows and place == len(texts) - 1)
        finally:
            self.num_live -= 1


class FakeModels:
    """Every model is a port."""

    def __init__(self, **ports: FakePort) -> None:
        self.ports = ports

    def of_request(self, message: pb.ModelInferRequest) -> Found:
        port: Port | None = self.ports.get(message.model_name)
        if port is None:
            raise ModelNotFound(message.model_name, tuple(self.ports))
        return Found(message.model_name, "1", port)


@asynccontextmanager
async def served(monkeypatch: pytest.MonkeyPatch, **ports: FakePort) -> AsyncIterator[str]:
    """The address of a real gRPC server of these ports."""
    models = FakeModels(**ports)
    monkeypatch.setattr("attendant.rpc.server.Models", lambda *_: models)
    server = RpcServer(GrpcSettings(port=0))
    address = server.bind()
    await server.start(FakeFrontEnd(FakeService(), NoEncoders()))  # type: ignore[arg-type]
    try:
        yield address
    finally:
        await server.stop(0)


@asynccontextmanager
async def connected(monkeypatch: pytest.MonkeyPatch, **ports: FakePort) -> AsyncIterator[Any]:
    """What calls such a server."""
    async with served(monkeypatch, **ports) as address, grpc.aio.insecure_channel(address) as channel:
        yield inference_pb2_grpc.GRPCInferenceServiceStub(channel)


def ask(model: str, call_id: str, *texts: str, **parameters: Any) -> pb.ModelInferRequest:
    return request(model, tensor("text", texts, "BYTES"), call_id=call_id, parameters=parameters)


def told(response: pb.ModelStreamInferResponse) -> tuple[str, list[str], bool]:
    """Id, texts, and whether it is the last."""
    assert not response.error_message
    found = tensors(response.infer_response)
    texts = [text.decode() for text in found["text"]] if found else []
    return response.infer_response.id, texts, response.infer_response.parameters["triton_final_response"].bool_param


async def until(reached: Callable[[], bool]) -> None:
    while not reached():
        await asyncio.sleep(0.01)


def test_a_decoupled_model_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        ports = {"pieces": FakePort(decoupled=True), "knows": FakePort(decoupled=True, knows=True)}
        async with connected(monkeypatch, **ports) as stub:
            call = stub.ModelStreamInfer()
            await call.write(ask("pieces", "1", "a", "b"))
            assert [told(await call.read()) for _ in range(2)] == [("1", ["a"], False), ("1", ["b"], False)]
            await call.write(ask("pieces", "2", "c", triton_enable_empty_final_response=True))
            assert [told(await call.read()) for _ in range(2)] == [("2", ["c"], False), ("2", [], True)]
            await call.write(ask("knows", "3", "d", "e"))
            assert [told(await call.read()) for _ in range(2)] == [("3", ["d"], False), ("3", ["e"], True)]
            await call.write(ask("knows", "4", "f", triton_enable_empty_final_response=True))
            assert [told(await call.read()) for _ in range(2)] == [("4", ["f"], False), ("4", [], True)]
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK

    run(test)


def test_one_response_is_the_last_and_keeps_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        port, pieces = FakePort(decoupled=False), FakePort(decoupled=True)
        async with connected(monkeypatch, one=port, pieces=pieces) as stub:
            call = stub.ModelStreamInfer()
            for message in (
                ask("one", "1", "slow"),
                ask("one", "2", "b"),
                ask("one", "3", "full"),
                ask("none", "4", "x"),
                ask("pieces", "5", "p"),
            ):
                await call.write(message)
            assert told(await call.read()) == ("5", ["p"], False)  # has no turn to wait for
            await until(lambda: len(port.contexts) == 3 and port.num_live == 2)
            port.go.set()
            assert [told(await call.read()) for _ in range(2)] == [("1", ["slow"], True), ("2", ["b"], True)]
            failed = [await call.read() for _ in range(2)]
            assert [each.infer_response.id for each in failed] == ["3", "4"]
            assert "already holds 3 requests" in failed[0].error_message
            assert failed[1].error_message.startswith("no model named 'none' is loaded; loaded models: 'one', 'pieces'")
            await call.write(ask("one", "6", "c", triton_enable_empty_final_response=True))
            assert told(await call.read()) == ("6", ["c"], True)
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF

    run(test)


def test_an_error_that_nobody_foresaw_keeps_its_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with connected(monkeypatch, pieces=FakePort(decoupled=True)) as stub:
            call = stub.ModelStreamInfer()
            await call.write(ask("pieces", "1", "bug"))
            failed = await call.read()
            assert (failed.infer_response.id, "secret" in failed.error_message) == ("1", False)
            assert failed.error_message.startswith("internal error")
            await call.write(ask("pieces", "2", "a"))
            assert told(await call.read()) == ("2", ["a"], False)
            call.cancel()

    run(test)
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(("text", "code"), [("full", "RESOURCE_EXHAUSTED"), ("bug", "INTERNAL")])
def test_a_stream_that_asks_for_it_ends_with_the_status(monkeypatch: pytest.MonkeyPatch, text: str, code: str) -> None:
    async def test() -> None:
        port = FakePort(decoupled=True)
        async with connected(monkeypatch, pieces=port) as stub:
            call = stub.ModelStreamInfer(metadata=(("triton_grpc_error", "true"),))
            await call.write(ask("pieces", "1", "a"))
            assert told(await call.read()) == ("1", ["a"], False)
            await call.write(ask("pieces", "2", "wait"))
            await call.write(ask("pieces", "3", text))
            assert await call.code() is grpc.StatusCode[code]
            await until(lambda: not port.num_live)

    run(test)


@pytest.mark.parametrize("how", ["cancel", "connection"])
def test_a_client_that_goes_away_ends_all_work(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    async def test() -> None:
        port = FakePort(decoupled=True)
        async with served(monkeypatch, pieces=port) as address:
            channel = grpc.aio.insecure_channel(address)
            call: Any = inference_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()
            for number in range(5):
                await call.write(ask("pieces", str(number), "a", "wait"))
            await until(lambda: port.num_live == 5)
            call.cancel() if how == "cancel" else await channel.close()
            await until(lambda: not port.num_live)

    run(test)


def test_a_half_closed_stream_is_answered_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        port = FakePort(decoupled=True)
        async with connected(monkeypatch, pieces=port) as stub:
            call = stub.ModelStreamInfer()
            for number in range(600):  # more than run at once
                await call.write(ask("pieces", str(number), "slow" if number < 3 else "a", "b"))
                if number == 100:
                    port.go.set()
            await call.done_writing()
            found: dict[str, list[str]] = {}
            async for response in call:
                call_id, texts, _ = told(response)
                found.setdefault(call_id, []).extend(texts)
            assert found == {str(number): ["slow" if number < 3 else "a", "b"] for number in range(600)}

    run(test)


def test_a_request_without_inputs_is_answered_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        port = FakePort(decoupled=True)
        async with connected(monkeypatch, pieces=port) as stub:
            call = stub.ModelStreamInfer()
            await call.write(ask("pieces", "1", "wait"))
            await until(lambda: port.num_live == 1)
            broken = pb.ModelInferRequest(model_name="pieces", id="2")
            await call.write(broken)  # it has no inputs
            failed = await call.read()
            assert failed.infer_response.id == "2"
            assert failed.error_message.startswith("inputs[text] is missing")
            call.cancel()
            await until(lambda: not port.num_live)

    run(test)


async def turns() -> None:
    """Let everything on the loop go as far as it can."""
    for _ in range(200):
        await asyncio.sleep(0)


def test_no_more_is_read_or_made_than_may_wait() -> None:
    async def test() -> None:
        port = FakePort(decoupled=True)
        models: Any = FakeModels(pieces=port)
        read = 0

        async def requests() -> AsyncIterator[pb.ModelInferRequest]:
            nonlocal read
            for number in range(20):
                read += 1
                yield ask("pieces", str(number), *["a"] * 10)

        stream = responses(requests(), lambda message: Inference(models, message), max_calls=4, max_ready=3)
        first = asyncio.ensure_future(anext(stream))
        await turns()
        await first
        await turns()
        assert read == 5  # four run, the fifth waits for a place
        assert port.num_made <= 1 + 3 + 4  # that which left, those that wait, and one that each of four has in hand
        assert len([each async for each in stream]) == 199
        assert port.num_made == 200

        closed = responses(requests(), lambda message: Inference(models, message), max_calls=4, max_ready=1)
        await anext(closed)
        await closed.aclose()
        assert port.num_live == 0

    run(test)


def test_single_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        port, pieces = FakePort(decoupled=False), FakePort(decoupled=True)
        async with connected(monkeypatch, one=port, pieces=pieces) as stub:
            response = await stub.ModelInfer(ask("pieces", "1", "a"))
            assert (response.id, tensors(response)["text"].tolist()) == ("1", [b"a"])
            assert "triton_final_response" not in response.parameters
            code, words = await refused(stub.ModelInfer(ask("pieces", "1", "a", "b")))
            assert (code, words) == (grpc.StatusCode.UNIMPLEMENTED, "there are several; call ModelStreamInfer")
            asked = await stub.ModelInfer(ask("one", "", "a", triton_enable_empty_final_response=True))
            assert asked.parameters["triton_final_response"].bool_param
            code, _ = await refused(stub.ModelInfer(ask("one", "", "bug")))
            assert code is grpc.StatusCode.INTERNAL
            call = stub.ModelInfer(ask("one", "", "wait"))
            await until(lambda: port.num_live == 1)
            call.cancel()
            await until(lambda: port.num_live == 0)

    run(test)


def test_priority_and_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        port = FakePort(decoupled=True)
        async with connected(monkeypatch, pieces=port) as stub:
            await stub.ModelInfer(ask("pieces", "", "a"), timeout=100)
            await stub.ModelInfer(ask("pieces", "", "a", priority=1, timeout=200_000_000), timeout=100)
            await stub.ModelInfer(ask("pieces", "", "a", priority=2, timeout=50_000_000), timeout=100)
            plain, first, second = port.contexts
            assert 0 == plain.priority < second.priority < first.priority
            assert [50 < (each.time_left_s() or 0) < 101 for each in port.contexts] == [True, True, False]
            code, words = await refused(stub.ModelInfer(ask("pieces", "", "wait", timeout=1000)))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert words == "the request's timeout passed before its answer was complete"
            call = stub.ModelStreamInfer()
            await call.write(ask("pieces", "7", "a", "wait", timeout=100_000))
            assert told(await call.read()) == ("7", ["a"], False)
            failed = await call.read()
            assert failed.infer_response.id == "7"
            assert failed.error_message == "the request's timeout passed before its answer was complete"
            assert not port.num_live
            call.cancel()

    run(test)


def test_large_requests_are_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    assert infer._takes_long(ask("m", "", *["a" * 1000] * 100))
    assert not infer._takes_long(ask("m", "", "a"))
    numbers = request("m", tensor("pixels", np.zeros(100_000, np.float32), "FP32"))
    assert not infer._takes_long(numbers)
    typed = pb.ModelInferRequest()
    typed.inputs.add(name="x").contents.fp32_contents.extend([1.0] * 100_000)
    assert infer._takes_long(typed)
