"""A real server over tiny encoders, and short ways to ask it in the Open Inference Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import numpy as np
import pytest
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.metrics.security import SecurityMetrics
from attendant.models.encoders import EncoderPart
from attendant.models.generators import GeneratorPart
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.rpc.openinference.contents import raw_of, read_contents, read_raw
from attendant.rpc.openinference.ports import Datatype
from attendant.rpc.openinference.writing import put
from attendant.rpc.server import RpcServer
from attendant.security.guard import Guard
from attendant.settings import AuthSettings, EncoderSettings, EngineSettings, GrpcSettings, TlsSettings
from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import inference_pb2_grpc
from attendant_proto.v1 import encoding_pb2_grpc
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import load

Values = Any


@dataclass
class Server:
    """What a test talks to: both contracts, and what is behind them."""

    stub: Any
    typed: Any
    channel: grpc.aio.Channel
    front_end: FrontEnd
    rpc: RpcServer


@asynccontextmanager
async def serving(*models: EncoderPart | GeneratorPart) -> AsyncIterator[Server]:
    """A server of these models."""
    encoder = EncoderSettings(threads=1, spinning=False)
    loader = ModelLoader(EngineSettings(threads=1, spinning=False), encoder=encoder, verify=False, progress=print)
    front_end = FrontEnd(Metrics(), lambda name, error: None, loader=loader)
    await front_end.start(LoadedBundles(tuple(LoadedModel.of(model) for model in models)))
    guard = Guard(TlsSettings(), AuthSettings(settings_by_calls="everyone"), SecurityMetrics(CollectorRegistry()))
    rpc = RpcServer(GrpcSettings(port=0), guard=guard)
    address = rpc.bind()
    await rpc.start(front_end)
    await rpc.health.set(serving=True, models=front_end.readiness())
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            yield Server(stub, encoding_pb2_grpc.EncodingStub(channel), channel, front_end, rpc)
    finally:
        await rpc.stop(0)
        await front_end.close()


def with_server(test: Callable[[Server], Awaitable[None]], *bundles: Path, **settings: Any) -> None:
    """Run ``test`` against a server of these bundles."""

    async def main() -> None:
        async with serving(*(load(bundle, **settings) for bundle in bundles)) as server:
            await asyncio.wait_for(test(server), 300)

    asyncio.run(main())


def tensor(name: str, values: Any, datatype: Datatype) -> tuple[str, Datatype, np.ndarray]:
    """An input; texts may be given as such."""
    if datatype == "BYTES":
        array = np.array(values, object)
        flat = [value.encode() if isinstance(value, str) else value for value in array.ravel()]
        out = np.empty(len(flat), object)
        out[:] = flat
        return name, datatype, out.reshape(array.shape)
    return name, datatype, np.asarray(values)


def request(
    model: str,
    *inputs: tuple[str, Datatype, np.ndarray],
    parameters: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    call_id: str = "",
    version: str = "",
) -> pb.ModelInferRequest:
    """A request with raw tensors."""
    message = pb.ModelInferRequest(model_name=model, model_version=version, id=call_id)
    for name, datatype, values in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=values.shape)
        message.raw_input_contents.append(raw_of(values, datatype))
    for name in outputs:
        message.outputs.add(name=name)
    for name, value in (parameters or {}).items():
        put(message.parameters[name], value)
    return message


def tensors(response: pb.ModelInferResponse) -> dict[str, Values]:
    """The outputs of a response, by name."""
    found = {}
    for index, output in enumerate(response.outputs):
        shape, datatype = tuple(output.shape), cast(Datatype, output.datatype)
        if response.raw_output_contents:
            found[output.name] = read_raw(response.raw_output_contents[index], datatype, shape, output.name)
        else:
            found[output.name] = read_contents(output.contents, datatype, shape, output.name)
    return found


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """Code and words of a call's error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""
