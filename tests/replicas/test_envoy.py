"""Three servers behind the real Envoy, with the configuration that docs/replicas.md hands out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import grpc
import pytest
from attendant.client.resuming import agenerate
from attendant.demo import demo_bundle
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.replicas import envoy as envoys
from tests.replicas.envoy import Envoy
from tests.replicas.scenes import DRAIN_DELAY_S
from tests.synthetic import make_slow_bundle
from tests.system.server import HANGS_S, LONG, PATIENT, ServerProcess, eventually, request, serving, tokens_of
from tests.system.test_resuming import Answers, answers, asked, running

NUMBER = 3


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred tokens a second."""
    return make_slow_bundle(tmp_path_factory.mktemp("bundles") / "slow")


class Replicas:
    """Servers and what stands before them."""

    def __init__(self, servers: list[ServerProcess], envoy: Envoy) -> None:
        self.servers = servers
        self.envoy = envoy

    def port_of(self, server: ServerProcess) -> int:
        """Of its gRPC."""
        return int(server.grpc.rpartition(":")[2])


@pytest.fixture
def replicas(slow: Path, tmp_path: Path) -> Iterator[Replicas]:
    """Three servers of one bundle, known to Envoy as well."""
    with ExitStack() as stack:
        flags = ("--engine.max-num-seqs", 8, "--no-admission.predict", "--lifecycle.drain-delay-s", DRAIN_DELAY_S)
        servers = [
            stack.enter_context(serving(tmp_path / f"{place}.log", slow, *flags, *PATIENT)) for place in range(NUMBER)
        ]
        before = stack.enter_context(envoys.running(tmp_path, envoys.configuration(servers)))
        found = Replicas(servers, before)
        eventually(lambda: before.healthy() == {found.port_of(server) for server in servers})
        yield found


def test_calls_of_all_kinds_reach_all_servers(replicas: Replicas) -> None:
    expected = answers(replicas.servers[0].generation.Generate(request("hello", 8)))
    with grpc.insecure_channel(replicas.envoy.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        stub = generation_pb2_grpc.GenerationStub(channel)

        def all_have_some() -> bool:
            assert answers(stub.Generate(request("hello", 8))) == expected
            return min(replicas.envoy.calls().values()) > 0

        eventually(all_have_some)
        before = replicas.envoy.calls("attendant-by-prefix")
        for _ in range(4):
            list(stub.Generate(request("hello", 8), metadata=(("x-attendant-prefix", "a"),)))
        after = replicas.envoy.calls("attendant-by-prefix")
        assert sorted(after[port] - before[port] for port in after) == [0, 0, 4]
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.Generate(request("hello", 8, model="nobody")))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as late:
            list(stub.Generate(request("hello", 8000), timeout=1.0))
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    body = json.dumps({"model": "slow", "prompt": "hello", "max_tokens": 8}).encode()
    asked_for = Request(f"http://{replicas.envoy.address}/v1/completions", body, {"content-type": "application/json"})
    assert json.loads(urlopen(asked_for, timeout=HANGS_S).read())["usage"]["completion_tokens"] == 8


def test_streams_outlive_a_server_that_is_killed(replicas: Replicas) -> None:
    """Those of the others go on; those that it had go on elsewhere, with their helper; what it had not begun to answer
    is asked of others by Envoy; a new call finds who is left."""
    alone = [answers(replicas.servers[0].generation.Generate(each)) for each in asked()]
    whole = request("as a whole", 250, whole=True)
    expected = answers(replicas.servers[0].generation.Generate(whole))
    broken: list[float] = []

    async def main() -> list[Answers]:
        async with grpc.aio.insecure_channel(replicas.envoy.address) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)

            async def one(each: pb.GenerateRequest) -> Answers:
                return answers([part async for part in agenerate(stub, each)])

            async def plain(each: pb.GenerateRequest) -> Answers:
                return answers([part async for part in stub.Generate(each)])

            calls = [asyncio.create_task(one(each)) for each in asked()]
            unbegun = [asyncio.create_task(plain(whole)) for _ in range(2 * NUMBER)]
            await asyncio.to_thread(eventually, lambda: sum(map(running, replicas.servers)) >= len(calls))
            busy = max(replicas.servers, key=running)
            broken.append(running(busy))
            busy.process.kill()
            calls += [asyncio.create_task(one(each)) for each in asked()]
            assert await asyncio.gather(*unbegun) == [expected] * len(unbegun)
            return await asyncio.gather(*calls)

    assert asyncio.run(main()) == alone * 2
    assert broken[0] > 0


def test_a_server_that_ends_in_order_costs_no_call(replicas: Replicas) -> None:
    """Envoy sees that it leaves also soon after its own start, when it would ask once a minute if it were not told."""
    with grpc.insecure_channel(replicas.envoy.address) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        expected = answers(stub.Generate(request("hello", 8)))
        streams = [stub.Generate(request("hello", 400)) for _ in range(3 * NUMBER)]
        eventually(lambda: sum(map(running, replicas.servers)) > 0)
        leaving = max(replicas.servers, key=running)
        holding = leaving.generation.Generate(request("hello", LONG))
        next(holding)
        leaving.terminate()
        eventually(lambda: replicas.port_of(leaving) in replicas.envoy.unwell())
        assert leaving.process.poll() is None
        holding.cancel()
        while leaving.process.poll() is None:
            assert answers(stub.Generate(request("hello", 8))) == expected
        assert [len(tokens_of(stream)) for stream in streams] == [400] * len(streams)
    assert leaving.wait() == 0
    assert not replicas.envoy.failures()


def test_the_demo_says_how_busy_it_is(tmp_path: Path) -> None:
    with serving(tmp_path / "log", demo_bundle()) as server:
        before = envoys.configuration([server])
        with envoys.running(tmp_path, before) as envoy:
            eventually(lambda: bool(envoy.healthy()))
