"""tei.v1 while models leave and while anything is sent: health by name and version, ends in order, no fault of ours."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.models.encoders import EncoderPart
from attendant_proto.tei import tei_pb2 as pb
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.rpc.fake import run
from tests.rpc.tei_server import make_models, tei_server
from tests.system.encoders import MASK

TEXTS = ("", "a", "hello", "\U0001f600" * 4, "\u0000", "x " * 3000, MASK, "query")
NUMBERS = (0, 1, 2, 5, 255, 4096, 2**31 - 1)
NAMES = ("", "vectors", "masks@1", "moods", "ranks", "images", "nobody", "a@@b", "vectors@7")
MESSAGES = 700


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EncoderPart]:
    return make_models(tmp_path_factory.mktemp("models"))


def test_health_knows_every_service_and_every_name_and_version(models: dict[str, EncoderPart]) -> None:
    async def test() -> None:
        async with tei_server([models["vectors"]]) as stubs:
            health: Any = health_pb2_grpc.HealthStub(stubs.channel)  # type: ignore[no-untyped-call]
            for name in ("", *(f"tei.v1.{each}" for each in pb.DESCRIPTOR.services_by_name), "vectors", "vectors@1"):
                found = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert found.status == health_pb2.HealthCheckResponse.SERVING, name

    run(test)


@pytest.mark.parametrize("server_leaves", [False, True])
def test_a_model_or_a_server_that_leaves_ends_streams_in_order(
    models: dict[str, EncoderPart], server_leaves: bool
) -> None:
    """What was taken is answered; what comes later is refused, and the stream ends there."""

    async def test() -> None:
        async with tei_server([models["vectors"], models["moods"]]) as stubs:
            left = asyncio.Event()

            async def requests() -> AsyncIterator[pb.EmbedRequest]:
                yield pb.EmbedRequest(inputs="a")
                yield pb.EmbedRequest(inputs="bb")
                await left.wait()
                yield pb.EmbedRequest(inputs="ccc")
                await asyncio.Event().wait()  # or the client of asyncio may say INTERNAL itself

            call = stubs.embed.EmbedStream(requests())
            responses = aiter(call)
            assert len([await anext(responses), await anext(responses)]) == 2
            if server_leaves:
                await stubs.front_end.drain(60)
            else:
                await stubs.front_end.models.unload("vectors", 60)
            left.set()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(responses)
            if server_leaves:
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            else:
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
                assert await stubs.predict.Predict(pb.PredictRequest(inputs="a"))

    run(test)


def test_nothing_that_is_sent_is_a_fault_of_the_servers(models: dict[str, EncoderPart]) -> None:
    """Messages of every method with anything in their fields: they are answered, or refused with the caller's fault."""
    chance = random.Random(7)
    allowed = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}

    def filled(method: MethodDescriptor) -> Any:
        message = message_factory.GetMessageClass(method.input_type)()
        for field in method.input_type.fields:
            if chance.random() < 0.6:
                _fill(message, field, chance)
        return message

    def code_of(channel: grpc.Channel, method: MethodDescriptor) -> grpc.StatusCode:
        service: Any = method.containing_service
        sent = [filled(method) for _ in range(chance.choice((0, 1, 3)) if method.client_streaming else 1)]
        metadata = (("model", chance.choice(NAMES)),) if chance.random() < 0.8 else ()
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        answer = message_factory.GetMessageClass(method.output_type).FromString
        ask = getattr(channel, kind)(
            f"/{service.full_name}/{method.name}", lambda message: message.SerializeToString(), answer
        )
        try:
            found = ask(iter(sent) if method.client_streaming else sent[0], metadata=metadata, timeout=300)
            deque(found if method.server_streaming else (), maxlen=0)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    def codes(address: str) -> Counter[grpc.StatusCode]:
        """Of many calls, by a client in a thread: the one of asyncio says INTERNAL itself, now and then, where a stream
        ends while it still sends."""
        methods = [method for service in pb.DESCRIPTOR.services_by_name.values() for method in service.methods]
        with grpc.insecure_channel(address) as channel:
            return Counter(code_of(channel, chance.choice(methods)) for _ in range(MESSAGES))

    async def test() -> None:
        async with tei_server(list(models.values())) as stubs:
            found = await asyncio.to_thread(codes, stubs.address)
            assert found.keys() <= allowed, found
            assert found[grpc.StatusCode.OK] > MESSAGES / 10, "some are fine"
            assert await stubs.embed.Embed(pb.EmbedRequest(inputs="a"))

    run(test)


def _fill(message: Any, field: FieldDescriptor, chance: random.Random) -> None:
    def value() -> Any:
        if field.type == FieldDescriptor.TYPE_STRING:
            return chance.choice(TEXTS)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.5
        if field.type == FieldDescriptor.TYPE_ENUM:
            return chance.choice((0, 1, 1, 99))
        return chance.choice(NUMBERS)

    if field.is_repeated:
        getattr(message, field.name).extend(value() for _ in range(chance.choice((0, 1, 2, 30))))
    else:
        setattr(message, field.name, value())
