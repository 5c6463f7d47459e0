"""What a call's metadata say of it: which ids and traces are taken over, and where they are seen again."""

from __future__ import annotations

import logging
import re

import grpc
import grpc.aio
import pytest
from attendant.core.context import TraceContext
from attendant.core.errors import AttendantError, QueueFull, StepFailed
from attendant_proto.v1 import generation_pb2, generation_pb2_grpc, models_pb2, models_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from tests.rpc.fake import FINISH, FakeService, connected, run
from tests.rpc.test_server import REQUEST, failure

FRESH = re.compile(r"[0-9a-f]{32}")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ("mine", True),
        ("a/b:c#7?%20\"'", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("", False),
        (None, False),
    ],
)
def test_an_id_that_is_sane_is_taken_over_and_another_one_replaced(sent: str | None, taken: bool) -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        metadata = () if sent is None else (("x-request-id", sent),)
        async with connected(service) as channel:
            call = generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST, metadata=metadata)
            assert [response async for response in call]
            answered = dict(await call.trailing_metadata())["x-request-id"]
        assert service.contexts[0].request_id == answered
        assert answered == sent if taken else FRESH.fullmatch(answered)

    run(test)


@pytest.mark.parametrize("header", [TRACEPARENT, "nonsense", None])
def test_the_context_is_what_the_connection_and_the_metadata_say(header: str | None) -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        metadata = () if header is None else (("traceparent", header),)
        async with connected(service) as channel:
            call = generation_pb2_grpc.GenerationStub(channel).Generate(REQUEST, metadata=metadata, timeout=20)
            assert [response async for response in call]
        (context,) = service.contexts
        assert context.trace == (TraceContext.parse(TRACEPARENT) if header == TRACEPARENT else None)
        assert context.client.startswith(("ipv4:127.0.0.1", "ipv6:"))
        assert (context.priority, context.deadline_ns is not None) == (0, True)

    run(test)


TENANT, PRIORITY = "x-llm-d-inference-fairness-id", "x-attendant-priority"


def test_metadata_and_the_message_say_who_pays_and_how_soon_it_is_to_be() -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            sent = ((TENANT, "blue"), (PRIORITY, "7"))
            for metadata, priority in (((), 0), (sent, 0), (sent, -3)):
                request = generation_pb2.GenerateRequest(text="x", priority=priority)
                assert [response async for response in stub.Generate(request, metadata=metadata)]
        told = [(context.tenant, context.priority) for context in service.contexts]
        assert told[0][0] in ("127.0.0.1", "::1")
        assert (told[0][1], *told[1:]) == (0, ("blue", 7), ("blue", -3))

    run(test)


@pytest.mark.parametrize(
    ("metadata", "priority", "field"),
    [
        (((TENANT, "two words"),), 0, TENANT),
        (((PRIORITY, "urgent"),), 0, PRIORITY),
        ((), 101, "priority"),
    ],
)
def test_what_cannot_be_heeded_is_refused_by_name(metadata: tuple[tuple[str, str]], priority: int, field: str) -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            request = generation_pb2.GenerateRequest(text="x", priority=priority)
            caught = await failure(stub.Generate(request, metadata=metadata))
            assert caught.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert (caught.details() or "").startswith(field)
            models = models_pb2_grpc.ModelsStub(channel).ListModels
            if metadata:
                caught = await failure(models(models_pb2.ListModelsRequest(), metadata=metadata))
                assert caught.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not service.contexts

    run(test)


def test_a_salt_comes_by_the_metadata_and_by_the_field() -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        async with connected(service) as channel:
            generate = generation_pb2_grpc.GenerationStub(channel).Generate
            for came, said in (("", ""), ("a", ""), ("", "a"), ("a", "a"), ("a", "b"), ("b", "a")):
                metadata = (("x-attendant-cache-salt", came),) if came else ()
                call = generate(generation_pb2.GenerateRequest(text="x", cache_salt=said), metadata=metadata)
                assert [response async for response in call]
            long = generate(generation_pb2.GenerateRequest(text="x", cache_salt="é" * 513))
            assert (await failure(long)).details() == "cache_salt has 1026 bytes; allowed: at most 1024"
            long = generate(
                generation_pb2.GenerateRequest(text="x"), metadata=(("x-attendant-cache-salt", "s" * 1025),)
            )
            assert (await failure(long)).details() == "x-attendant-cache-salt has 1025 bytes; allowed: at most 1024"
        none, *same, both, reversed_ = [context.cache_salt for context in service.contexts]
        assert (none, same) == (b"", [b"a"] * 3)
        assert len({none, b"a", b"b", both, reversed_}) == 5, "both count, each in its place"

    run(test)


@pytest.mark.parametrize("error", [QueueFull("fake", 8, 0.5), StepFailed("the run failed, see #7")])
def test_an_error_bears_the_id_in_its_details_and_in_the_log(
    error: AttendantError, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with connected(FakeService(error)) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            caught = await failure(stub.Generate(REQUEST, metadata=(("x-request-id", "mine"),)))
            assert dict(caught.trailing_metadata())["x-request-id"] == "mine"
            status = from_call(_Ended(caught))  # type: ignore[arg-type]
            info = error_details_pb2.RequestInfo()
            assert status is not None
            assert any(detail.Unpack(info) for detail in status.details)
            assert info.request_id == "mine"

    with caplog.at_level(logging.DEBUG, "attendant.rpc"):
        run(test)
    lines = [record.getMessage() for record in caplog.records if record.name == "attendant.rpc"]
    assert lines
    assert all("mine" in line for line in lines)


class _Ended:
    """A call that has ended, as grpcio-status wants it."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details = error.code, error.details
        self.trailing_metadata = lambda: tuple(error.trailing_metadata())


def test_calls_of_one_id_are_calls_of_their_own() -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            for _ in range(2):
                call = stub.Generate(generation_pb2.GenerateRequest(text="x"), metadata=(("x-request-id", "mine"),))
                assert [response async for response in call]
        assert [context.request_id for context in service.contexts] == ["mine", "mine"]

    run(test)
