"""Streams that outlive their server: the caller gets, byte for byte, what one server alone would have sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from attendant.client.resuming import agenerate, generate
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.system.server import ServerProcess, eventually, request, serving

ROUND_ROBIN = (("grpc.lb_policy_name", "round_robin"), ("grpc.initial_reconnect_backoff_ms", 100))
Answers = dict[int, tuple[list[int], str, bytes]]


@pytest.fixture
def two(slow: Path, tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Servers of the same bundle."""
    with ExitStack() as stack:
        flags = (slow, "--engine.max-num-seqs", 8, "--no-admission.predict")
        first, second = (stack.enter_context(serving(tmp_path / f"{name}.log", *flags)) for name in ("one", "two"))
        yield first, second


def answers(responses: Iterator[pb.GenerateResponse] | list[pb.GenerateResponse]) -> Answers:
    """Tokens, text, and end without times, of each sequence."""
    found: Answers = {}
    for response in responses:
        tokens, text, end = found.get(response.index, ([], "", b""))
        if response.HasField("finish"):
            assert not end
            finish = pb.Finish()
            finish.CopyFrom(response.finish)
            finish.ClearField("timings")
            finish.usage.cached_tokens = 0
            end = finish.SerializeToString(deterministic=True)
        found[response.index] = (tokens + list(response.token_ids), text + response.text, end)
    return found


def asked() -> list[pb.GenerateRequest]:
    """What streams ask for; long enough to be broken in the middle."""
    drawn = [pb.Sampling(temperature=1.2, seed=seed) for seed in range(4)]
    return [
        request("hello", 300),
        *[request(f"hello {n}", 250, sampling=sampling) for n, sampling in enumerate(drawn)],
        request("several", 150, sampling=drawn[3], n=3),
        request("logprobs", 200, logprobs=2),
    ]


def test_streams_end_as_alone_whichever_server_is_killed(two: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = two
    alone = [answers(first.generation.Generate(each)) for each in asked()]
    target = f"ipv4:{first.grpc},{second.grpc}"
    broken: list[float] = []

    async def all_of_them() -> list[Answers]:
        async with grpc.aio.insecure_channel(target, options=ROUND_ROBIN) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)

            async def one(each: pb.GenerateRequest) -> Answers:
                return answers([part async for part in agenerate(stub, each)])

            calls = [asyncio.create_task(one(each)) for each in asked()]
            await asyncio.to_thread(eventually, lambda: running(first) + running(second) >= len(calls))
            busy = max(first, second, key=running)
            broken.append(running(busy))
            busy.process.kill()
            return await asyncio.gather(*calls)

    assert asyncio.run(all_of_them()) == alone
    assert broken[0] > 1


def running(server: ServerProcess) -> float:
    """Sequences that run there."""
    return server.metrics()["num_requests_running"]


def test_the_same_without_an_event_loop(two: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = two
    message = asked()[1]
    alone = answers(first.generation.Generate(message))
    with grpc.insecure_channel(f"ipv4:{second.grpc},{first.grpc}", options=ROUND_ROBIN) as channel:
        responses: list[pb.GenerateResponse] = []
        killed = False
        for part in generate(generation_pb2_grpc.GenerationStub(channel), message):
            responses.append(part)
            if not killed and len(responses) > 5:
                max(first, second, key=running).process.kill()
                killed = True
    assert answers(responses) == alone


def test_where_no_server_is_left_the_error_comes(two: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = two
    with grpc.insecure_channel(f"ipv4:{first.grpc},{second.grpc}", options=ROUND_ROBIN) as channel:
        parts = generate(generation_pb2_grpc.GenerationStub(channel), request("hello", 5000))
        next(parts)
        first.process.kill()
        second.process.kill()
        with pytest.raises(grpc.RpcError) as failed:
            list(parts)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
