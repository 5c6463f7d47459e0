"""What only the gRPC skin decides: errors on the wire, request ids, cancelling, limits, health, reflection."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.core.errors import ConfigurationError, Draining, InvalidRequest, QueueFull, StepFailed
from attendant.rpc.server import SERVICES, RpcServer
from attendant.settings import GrpcSettings
from attendant_proto.v1 import explain_pb2, explain_pb2_grpc, generation_pb2_grpc, models_pb2, models_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from pydantic import ByteSize

from tests.rpc.fake import FINISH, FakeFrontEnd, FakeService, NoEncoders, connected, delta, run, serving

REQUEST = pb.GenerateRequest(text="hello")


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call if not hasattr(call, "__aiter__") else [response async for response in call]
    return caught.value


def test_a_stream_arrives_in_order() -> None:
    async def test() -> None:
        service = FakeService(delta("a", 1), delta("b", 2, 3), FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            call = stub.Generate(REQUEST, metadata=(("x-request-id", "mine"),))
            responses = [response async for response in call]
            assert [r.text for r in responses] == ["a", "b", ""]
            assert [list(r.token_ids) for r in responses] == [[1], [2, 3], []]
            assert responses[-1].finish.stop_token_id == 7
            assert dict(await call.trailing_metadata())["x-request-id"] == "mine"
            assert service.contexts[0].deadline_ns is None

    run(test)


def test_a_deadline_reaches_the_front_end() -> None:
    async def test() -> None:
        service = FakeService("wait")
        async with connected(service) as channel:
            generate = generation_pb2_grpc.GenerationStub(channel).Generate
            call = generate(REQUEST, timeout=100)
            reading = asyncio.ensure_future(call.read())
            while not service.calls:
                await asyncio.sleep(0.01)
            assert 0 < service.contexts[0].time_left_s() < 101  # gRPC rounds what it sends up
            call.cancel()
            await asyncio.wait([reading])
            await service.closed.wait()
            service.closed.clear()
            error = await failure(generate(REQUEST, timeout=0.5))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if len(service.calls) == 2:  # a busy machine may let the deadline pass on the way
                await service.closed.wait()

    run(test)


@pytest.mark.parametrize("position", ["first", "later"])
def test_errors_of_the_front_end_become_statuses(position: str) -> None:
    async def test() -> None:
        before = () if position == "first" else (delta(),)
        service = FakeService(*before, QueueFull("fake", 8, 0.5))
        async with connected(service) as channel:
            call = generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST)
            error = await failure(call)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            trailers = dict(error.trailing_metadata())
            assert trailers["retry-after-ms"] == "500"
            rich = await rpc_status.aio.from_call(call)
            retry = error_details_pb2.RetryInfo()
            assert rich.details[0].Unpack(retry)
            assert retry.retry_delay.ToMilliseconds() == 500

    run(test)


def test_it_is_told_how_long_refusals_took_and_only_those() -> None:
    async def test() -> None:
        told: list[float] = []
        for error in (QueueFull("fake", 8, 0.5), InvalidRequest("text", "is empty")):
            service = FakeService(error)
            async with serving(service, refused=told.append) as (address, _), grpc.aio.insecure_channel(address) as to:
                await failure(generation_pb2_grpc.GenerationStub(to).Generate(REQUEST))
        (seconds,) = told
        assert seconds > 0

    run(test)


def test_a_failed_run_is_logged_with_the_ids_of_caller_and_engine(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        service = FakeService(StepFailed("the log has the cause, of request 17"))
        async with connected(service) as channel:
            call = generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST, metadata=(("x-request-id", "mine"),))
            assert (await failure(call)).code() is grpc.StatusCode.INTERNAL
        assert any("mine" in r.getMessage() and "request 17" in r.getMessage() for r in caplog.records)

    run(test)


def test_an_unforeseen_exception_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with (
            serving(FakeService(delta(), ZeroDivisionError("the secret of the server"))) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            generate = generation_pb2_grpc.GenerationStub(channel).Generate
            tokenize = models_pb2_grpc.TokenizerStub(channel).Tokenize
            chat = models_pb2.TokenizeRequest(chat=pb.Chat())
            for call in (generate(REQUEST), tokenize(chat)):
                error = await failure(call)
                assert error.code() is grpc.StatusCode.INTERNAL
                assert "secret" not in error.details()
                assert "Traceback" not in str(error.trailing_metadata())
                request_id = dict(error.trailing_metadata())["x-request-id"]
                assert request_id in error.details()
                assert any(request_id in r.getMessage() and r.exc_info for r in caplog.records)

    run(test)


class PanicException(BaseException):
    """A panic of such a library, which is no Exception."""


@pytest.mark.parametrize(
    ("panic", "code"),
    [
        ("index out of bounds", grpc.StatusCode.INTERNAL),
        ("ThreadPoolBuildError { kind: IOError }", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_a_call_in_which_a_library_panics_has_an_end(panic: str, code: grpc.StatusCode) -> None:
    """gRPC catches no such exception: a call that it ended in had no end, and its caller waited for ever."""

    async def test() -> None:
        async with connected(FakeService(delta(), PanicException(panic))) as channel:
            error = await failure(generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST, timeout=60))
            assert error.code() is code
            assert "bounds" not in error.details()

    run(test)


def test_a_request_that_cannot_be_read_is_the_callers_fault() -> None:
    async def test() -> None:
        async with connected(FakeService()) as channel:
            bytewise: Any = channel
            for data in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe"):  # cut field; a string that is not UTF-8
                error = await failure(bytewise.unary_stream("/attendant.v1.Generation/Generate")(data))
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                error = await failure(bytewise.unary_unary("/attendant.v1.Models/GetModel")(data))
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(test)


def test_a_name_as_long_as_a_message_is_still_answered() -> None:
    async def test() -> None:
        async with connected(FakeService()) as channel:
            get = models_pb2_grpc.ModelsStub(channel).GetModel
            error = await failure(get(models_pb2.GetModelRequest(model="\U0001f600" * 500_000)))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error.details() == "model has 500000 characters; allowed: at most 1024"
            error = await failure(get(models_pb2.GetModelRequest(model="x"), metadata=(("x-request-id", "i" * 4000),)))
            assert len(dict(error.trailing_metadata())["x-request-id"]) < 200

    run(test)


@pytest.mark.parametrize("where", ["waiting", "writing"])
def test_cancelling_closes_the_work(where: str) -> None:
    async def test() -> None:
        parts = ("wait",) if where == "waiting" else tuple(delta("x" * 50_000) for _ in range(2000))
        service = FakeService(delta(), *parts)
        async with connected(service) as channel:
            call = generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST)
            await call.read()
            await asyncio.sleep(0.1)  # in the second case the connection's window is full now, and the server waits
            assert not service.closed.is_set()
            call.cancel()
            await service.closed.wait()
            assert service.num_sent < 2000

    run(test)


def test_a_lost_connection_closes_the_work() -> None:
    async def test() -> None:
        service = FakeService(delta(), "wait")
        async with serving(service) as (address, _):
            channel = grpc.aio.insecure_channel(address)
            call = generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST)
            await call.read()
            await channel.close()
            await service.closed.wait()

    run(test)


def test_models_and_tokenizer() -> None:
    async def test() -> None:
        async with connected(FakeService()) as channel:
            models, tokenizer = models_pb2_grpc.ModelsStub(channel), models_pb2_grpc.TokenizerStub(channel)
            listed = await models.ListModels(models_pb2.ListModelsRequest())
            assert [model.name for model in listed.models] == ["fake"]
            assert (await models.GetModel(models_pb2.GetModelRequest())).name == "fake"
            tokens = await tokenizer.Tokenize(models_pb2.TokenizeRequest(text="hi"))
            assert list(tokens.token_ids) == [104, 105]
            request = models_pb2.DetokenizeRequest(token_ids=tokens.token_ids, keep_special_tokens=True)
            assert (await tokenizer.Detokenize(request)).text == "hi!"

    run(test)


def test_logprobs_spell_their_tokens() -> None:
    from attendant.core.events import TokenLogprob
    from attendant.core.generation import Delta

    async def test() -> None:
        part = Delta(0, "a", (5,), (TokenLogprob(5, -0.5, ((5, -0.5), (6, -1.5))),))
        async with connected(FakeService(part)) as channel:
            response = await generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST).read()
            assert response.logprobs[0].text == "<5>"
            assert [top.text for top in response.logprobs[0].top] == ["<5>", "<6>"]

    run(test)


def test_messages_over_the_limit_are_refused() -> None:
    async def test() -> None:
        settings = GrpcSettings(port=0, max_receive_bytes=ByteSize(1000), max_send_bytes=ByteSize(1000))
        async with (
            serving(FakeService(delta("x" * 2000)), settings) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            generate = generation_pb2_grpc.GenerationStub(channel).Generate
            for request in (pb.GenerateRequest(text="x" * 2000), REQUEST):
                error = await failure(generate(request))
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(test)


def test_calls_over_the_limit_of_a_connection_wait_in_the_client() -> None:
    async def test() -> None:
        service = FakeService(delta(), "wait")
        async with connected(service, GrpcSettings(port=0, max_concurrent_streams=2)) as channel:
            calls = [generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST) for _ in range(3)]
            waiting = {asyncio.ensure_future(call.read()): call for call in calls}
            answered: list[Any] = []
            while len(answered) < 2:  # any two of them
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                answered += [waiting.pop(read) for read in done]
            await asyncio.sleep(0.1)
            (third,) = waiting
            assert not third.done()
            assert len(service.calls) == 2
            answered[0].cancel()
            await third
            assert len(service.calls) == 3

    run(test)


def test_health_of_each_service_and_its_changes() -> None:
    async def test() -> None:
        status = health_pb2.HealthCheckResponse
        async with serving(FakeService()) as (address, server), grpc.aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for service in ("", *SERVICES):
                request = health_pb2.HealthCheckRequest(service=service)
                assert (await stub.Check(request)).status == status.SERVING
            error = await failure(stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service")))
            assert error.code() is grpc.StatusCode.NOT_FOUND
            watch = stub.Watch(health_pb2.HealthCheckRequest(service="attendant.v1.Generation"))
            assert (await watch.read()).status == status.SERVING
            await server.health.set(serving=False)
            assert (await watch.read()).status == status.NOT_SERVING
            watch.cancel()

    run(test)


def test_health_of_all_services_at_once() -> None:
    async def test() -> None:
        status = health_pb2.HealthCheckResponse
        async with serving(FakeService()) as (address, server), grpc.aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            listed: Any = health_pb2
            await server.health.set(serving=True, models={"good": True, "bad": False})
            found = (await stub.List(listed.HealthListRequest())).statuses
            expected = {**dict.fromkeys(("", *SERVICES, "good"), status.SERVING), "bad": status.NOT_SERVING}
            assert {name: each.status for name, each in found.items()} == expected
            await server.health.set(serving=False, models={"good": True})
            found = (await stub.List(listed.HealthListRequest())).statuses
            assert {name: each.status for name, each in found.items()} == dict.fromkeys(
                ("", *SERVICES, "good"), status.NOT_SERVING
            )

    run(test)


def test_a_service_that_is_turned_off_is_not_there() -> None:
    async def test() -> None:
        server = RpcServer(GrpcSettings(port=0), explain=False)
        address = server.bind()
        await server.start(FakeFrontEnd(FakeService(), NoEncoders()))  # type: ignore[arg-type]
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = explain_pb2_grpc.ExplainStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError) as caught:
                await stub.Similarity(explain_pb2.SimilarityRequest())
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await server.stop(0)

    run(test)


def test_an_unknown_method_is_unimplemented() -> None:
    async def test() -> None:
        async with connected(FakeService()) as channel:
            bytewise: Any = channel
            error = await failure(bytewise.unary_unary("/attendant.v1.Models/Nothing")(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    run(test)


def test_a_port_in_use_is_refused_by_name() -> None:
    async def test() -> None:
        async with serving(FakeService()) as (address, _):
            port = int(address.rpartition(":")[2])
            with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*grpc\.port"):
                RpcServer(GrpcSettings(port=port)).bind()

    run(test)


def test_the_access_log_has_one_line_for_a_call(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with (
            serving(FakeService(InvalidRequest("prompt", "is empty"))) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            await failure(generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST))
            await models_pb2_grpc.ModelsStub(channel).GetModel(models_pb2.GetModelRequest())

    with caplog.at_level(logging.DEBUG, "attendant.rpc"):
        run(test)
    lines = [record.getMessage() for record in caplog.records if record.name == "attendant.rpc"]
    assert len(lines) == 2
    assert lines[0].startswith("/attendant.v1.Generation/Generate INVALID_ARGUMENT")
    assert lines[1].startswith("/attendant.v1.Models/GetModel OK")


def test_draining_is_unavailable() -> None:
    async def test() -> None:
        async with (
            serving(FakeService(Draining("shutting down"))) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            error = await failure(generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "shutting down" in error.details()

    run(test)
