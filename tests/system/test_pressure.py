"""Callers that leave, hurry or come in crowds: the work of each ends at once and nobody else notices."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.system.server import LONG, ServerProcess, environment, eventually, request, serving, tokens_of

READER = """
import sys
import grpc
from attendant_proto.v1 import generation_pb2 as pb, generation_pb2_grpc

channel = grpc.insecure_channel(sys.argv[1])
message = pb.GenerateRequest(text="hello", stopping=pb.Stopping(max_tokens=int(sys.argv[2])))
for response in generation_pb2_grpc.GenerationStub(channel).Generate(message):
    print(len(response.token_ids), flush=True)
"""


@pytest.fixture(scope="module")
def roomy_server(slow: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Runs eight sequences and lets hundreds wait."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(log, slow, "--engine.max-num-seqs", 8, "--engine.max-queue", 500) as running:
        yield running


@pytest.fixture(autouse=True)
def _idle_before_and_after(slow_server: ServerProcess) -> object:
    eventually(slow_server.is_idle)
    yield
    eventually(slow_server.is_idle)


def running(server: ServerProcess, count: int) -> bool:
    return server.metrics()["num_requests_running"] == count


def finished(server: ServerProcess, reason: str) -> float:
    """How many sequences have ended so."""
    return server.metrics().get(f"request_success_total{{finished_reason={reason}}}", 0.0)


@contextmanager
def nothing_runs_to_its_end(server: ServerProcess) -> Iterator[None]:
    """Work ends because its caller has gone, and not because it is done."""
    before = finished(server, "length")
    yield
    eventually(server.is_idle)
    assert finished(server, "length") == before


def test_a_cancelled_stream_frees_its_slot(slow_server: ServerProcess) -> None:
    before = finished(slow_server, "cancelled")
    with nothing_runs_to_its_end(slow_server):
        call = slow_server.generation.Generate(request("hello", LONG))
        next(call)
        eventually(lambda: running(slow_server, 1))
        call.cancel()
    assert finished(slow_server, "cancelled") == before + 1


def test_a_killed_client_frees_its_slot(slow_server: ServerProcess) -> None:
    words = [sys.executable, "-c", READER, slow_server.grpc, str(LONG)]
    client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
    assert client.stdout is not None
    with nothing_runs_to_its_end(slow_server):
        client.stdout.readline()
        eventually(lambda: running(slow_server, 1))
        client.kill()
        client.wait()
    client.stdout.close()


def test_a_client_that_froze_is_found_by_pings(slow: Path, tmp_path: Path) -> None:
    """Its kernel still answers, and its window fills up; only a ping of gRPC's own tells."""
    flags = ("--grpc.keepalive-time-s", 1, "--grpc.keepalive-timeout-s", 1)
    with serving(tmp_path / "log", slow, *flags) as server:
        words = [sys.executable, "-c", READER, server.grpc, str(LONG)]
        client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
        assert client.stdout is not None
        client.stdout.readline()
        client.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: running(server, 1))
            eventually(server.is_idle)
            assert server.metrics()["request_success_total{finished_reason=cancelled}"] == 1
        finally:
            client.kill()
            client.communicate()


def test_a_deadline_ends_a_running_sequence(slow_server: ServerProcess) -> None:
    with nothing_runs_to_its_end(slow_server):
        with pytest.raises(grpc.RpcError) as caught:
            list(slow_server.generation.Generate(request("hello", LONG), timeout=0.5))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_deadline_ends_a_waiting_sequence(slow_server: ServerProcess) -> None:
    busy = [slow_server.generation.Generate(request("hello", LONG)) for _ in range(2)]
    for call in busy:
        next(call)
    with pytest.raises(grpc.RpcError) as caught:
        list(slow_server.generation.Generate(request("hello", 4), timeout=0.4))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: slow_server.metrics()["num_requests_waiting"] == 0)
    assert running(slow_server, 2)
    for call in busy:
        call.cancel()


def test_a_full_queue_says_when_to_come_back(slow_server: ServerProcess) -> None:
    calls = [slow_server.generation.Generate(request("hello", LONG)) for _ in range(4)]
    eventually(lambda: slow_server.metrics()["num_requests_waiting"] == 2)
    with pytest.raises(grpc.RpcError) as caught:
        list(slow_server.generation.Generate(request("hello", 4)))
    error = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = error_details_pb2.RetryInfo()
    assert rpc_status.from_call(error).details[0].Unpack(retry)  # type: ignore[arg-type]
    delay_ms = int(dict(error.trailing_metadata())["retry-after-ms"])  # type: ignore[arg-type, index]
    assert 0 < delay_ms <= 60_000
    assert retry.retry_delay.ToMilliseconds() == pytest.approx(delay_ms, abs=1)
    for call in calls:
        call.cancel()
    eventually(slow_server.is_idle)
    assert len(list(slow_server.generation.Generate(request("hello", 4)))) > 1


def test_a_storm_of_cancelled_calls_leaves_nothing_behind(roomy_server: ServerProcess) -> None:
    reference = tokens_of(roomy_server.generation.Generate(request("hello", 30)))
    random_ = random.Random(0)

    async def one(stub: generation_pb2_grpc.GenerationStub, delay_s: float, num_reads: int, patience_s: float) -> str:
        await asyncio.sleep(delay_s)
        call = stub.Generate(request("storm " * random_.randint(1, 30), LONG, n=random_.choice((1, 1, 1, 3))))
        try:
            async with asyncio.timeout(patience_s):
                for _ in range(num_reads):
                    await call.read()
        except (TimeoutError, asyncio.CancelledError):
            pass
        return "cancelled" if call.cancel() else (await call.code()).name

    async def storm() -> list[str]:
        async with grpc.aio.insecure_channel(roomy_server.grpc) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            calls = (
                one(stub, random_.random() * 2, random_.randint(0, 50), random_.choice((0.0, 0.001, 0.02, 0.5)))
                for _ in range(200)
            )
            return await asyncio.gather(*calls)

    with nothing_runs_to_its_end(roomy_server):
        assert set(asyncio.run(storm())) <= {"cancelled", "CANCELLED"}
    assert "Traceback" not in roomy_server.log()
    assert tokens_of(roomy_server.generation.Generate(request("hello", 30))) == reference


def test_a_caller_that_does_not_read_holds_nobody_up(slow_server: ServerProcess) -> None:
    """Its stream fills the connection's window and stops there; another caller streams on."""
    channel = grpc.insecure_channel(slow_server.grpc, [("grpc.http2.lookahead_bytes", 1024)])
    idle = generation_pb2_grpc.GenerationStub(channel).Generate(request("hello", LONG, logprobs=20))
    next(idle)
    tokens = tokens_of(slow_server.generation.Generate(request("hello", 100)))
    assert len(tokens) == 100
    assert idle.is_active(), "nobody waited for the end of the one that is not read"
    idle.cancel()
    channel.close()


def test_requests_of_every_kind_at_once(slow_server: ServerProcess) -> None:
    """Places for four: the rest is refused at once, and those that were taken finish."""

    async def one(stub: generation_pb2_grpc.GenerationStub, i: int) -> str:
        try:
            return str(sum([len(r.token_ids) async for r in stub.Generate(request(f"{i}", 20))]))
        except grpc.aio.AioRpcError as error:
            return error.code().name

    async def crowd() -> list[str]:
        async with grpc.aio.insecure_channel(slow_server.grpc) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            return await asyncio.gather(*(one(stub, i) for i in range(40)))

    outcomes = asyncio.run(crowd())
    assert set(outcomes) <= {"20", "RESOURCE_EXHAUSTED"}
    assert outcomes.count("20") >= 4


def test_an_over_long_prompt_is_refused_at_the_door(slow_server: ServerProcess) -> None:
    before = slow_server.metrics()["request_failure_total{error=context_exceeded}"]
    with pytest.raises(grpc.RpcError) as caught:
        list(slow_server.generation.Generate(pb.GenerateRequest(text="x" * 200_000), timeout=60))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "8191" in caught.value.details()
    assert slow_server.metrics()["request_failure_total{error=context_exceeded}"] == before + 1


def test_a_message_over_the_limit_is_refused(slow_server: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(slow_server.generation.Generate(pb.GenerateRequest(text="x" * 70_000_000), timeout=300))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
