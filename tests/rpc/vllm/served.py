"""Real models behind ports of their own, and all of them behind attendant.v1, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.rpc.server import RpcServer
from attendant.rpc.vllm.ports import EnginePorts
from attendant.settings import EncoderSettings, EnginePort, EngineSettings, GrpcSettings, RepositorySettings
from attendant.settings.routes import RoutesFile
from attendant_proto.v1 import encoding_pb2_grpc, generation_pb2_grpc, models_pb2_grpc
from attendant_proto.v1 import generation_pb2 as v1
from attendant_proto.vllm import engine_pb2 as pb
from attendant_proto.vllm import engine_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

IDS = (70, 71, 72, 73)
"""A prompt of the models with a token for each byte."""


@dataclass
class Served:
    """What tests talk to. ``engines``: stubs by the name that a port has for its model."""

    front_end: FrontEnd
    ports: EnginePorts
    engines: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    generation: Any = None
    encoding: Any = None
    tokenizer: Any = None

    async def v1(self, request: pb.GenerateRequest, **fields: Any) -> list[v1.GenerateResponse]:
        """What attendant.v1 answers to tokens."""
        ids = v1.TokenIds(ids=request.tokenized.input_ids)
        call = self.generation.Generate(v1.GenerateRequest(token_ids=ids, **fields))
        return [response async for response in call]

    async def is_serving(self, model: str, service: str = "") -> bool:
        """What a port's grpc.health.v1 says."""
        found = await self.health[model].Check(health_pb2.HealthCheckRequest(service=service))
        return bool(found.status == health_pb2.HealthCheckResponse.SERVING)

    def live(self) -> int:
        """Sequences that run or wait."""
        found = [entry.serving for entry in self.front_end.models.entries]
        hubs = [served.generation for served in found if served is not None and served.generation is not None]
        return sum(hub.gate.taken for hub in hubs)


@asynccontextmanager
async def serving(
    bundles: Iterable[Path], *models: str, routes: str = "", folder: Path | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """Serve bundles; each of ``models`` has a port. ``folder``: of a repository, which loads what it is asked for."""
    chosen = EngineSettings(**{"threads": 1, "spinning": False, "max_num_seqs": 4} | settings)
    loader = ModelLoader(chosen, encoder=EncoderSettings(threads=1, spinning=False), verify=False, progress=print)
    grpc_settings = GrpcSettings(port=0)
    ports = EnginePorts(grpc_settings, [EnginePort(port=0, model=model) for model in models])
    server = RpcServer(grpc_settings)

    async def on_change() -> None:
        await ports.set_health(serving=True)

    front_end = FrontEnd(
        Metrics(),
        lambda name, error: None,
        loader=loader,
        on_change=on_change,
        folder=folder,
        repository=RepositorySettings(control="explicit", load=()),
    )
    address, endpoints = server.bind(), ports.bind()
    channels = [grpc.aio.insecure_channel(each) for each in (address, *(found.address for found in endpoints))]
    try:
        await front_end.repository.survey()
        named = list(bundles)
        loaded = await asyncio.to_thread(loader.load_all, named) if named else LoadedBundles(())
        await front_end.start(loaded, routes=RoutesFile.parse(routes) if routes else None)
        await server.start(front_end)
        await ports.start(front_end)
        await ports.set_health(serving=True)
        served = Served(front_end, ports)
        served.generation = generation_pb2_grpc.GenerationStub(channels[0])
        served.encoding = encoding_pb2_grpc.EncodingStub(channels[0])
        served.tokenizer = models_pb2_grpc.TokenizerStub(channels[0])
        for model, channel in zip(models, channels[1:], strict=True):
            served.engines[model] = engine_pb2_grpc.VllmEngineStub(channel)
            served.health[model] = health_pb2_grpc.HealthStub(channel)
        yield served
    finally:
        for channel in channels:
            await channel.close()
        await asyncio.gather(server.stop(0), ports.stop(0))
        await front_end.close()


Test = Callable[[Served], Awaitable[None]]


def run(bundles: Iterable[Path], models: Iterable[str], test: Test, **settings: Any) -> None:
    """Run an async test. The limit is for one that hangs."""

    async def main() -> None:
        async with serving(bundles, *models, **settings) as served:
            await asyncio.wait_for(test(served), 300)

    asyncio.run(main())


def request(
    ids: Iterable[int] = IDS, *, stream: bool = True, request_id: str = "", **sampling: Any
) -> pb.GenerateRequest:
    """A call of Generate, greedy and of 8 tokens if nothing else is said."""
    params = pb.SamplingParams(**{"temperature": 0.0, "max_tokens": 8} | sampling)
    return pb.GenerateRequest(
        request_id=request_id, tokenized=pb.TokenizedInput(input_ids=ids), sampling_params=params, stream=stream
    )


async def answers(engine: Any, call: pb.GenerateRequest) -> tuple[dict[int, list[int]], dict[int, pb.GenerateComplete]]:
    """Tokens and ends of all answers, by index, however they came."""
    tokens: dict[int, list[int]] = {}
    ends: dict[int, pb.GenerateComplete] = {}
    async for response in engine.Generate(call):
        if response.WhichOneof("response") == "chunk":
            assert call.stream, "a whole answer has no chunks"
            chunk = response.chunk
            assert chunk.index not in ends, "nothing follows an end"
            assert chunk.completion_tokens == len(chunk.token_ids)
            tokens.setdefault(chunk.index, []).extend(chunk.token_ids)
        else:
            end = response.complete
            assert end.index not in ends, "an answer ends once"
            ends[end.index] = end
            assert not (call.stream and end.output_ids), "its chunks had them"
            tokens.setdefault(end.index, []).extend(end.output_ids)
    return tokens, ends


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what comes sooner or later."""
    while not condition():
        await asyncio.sleep(0.005)
