"""A gRPC server over real models of encoders, and the two contracts that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from attendant.bundle import EmbeddingHead
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.encoders import EncoderPart
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles
from attendant.rpc.server import RpcServer
from attendant.settings import GrpcSettings
from attendant.settings.routes import RoutesFile
from attendant_proto.tei import tei_pb2_grpc
from attendant_proto.v1 import encoding_pb2_grpc, models_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import load
from tests.synthetic_encoder import make_image_encoder, make_text_encoder
from tests.system.encoders import add_special_tokens

MAX_TOKENS = 16


@dataclass
class Stubs:
    """Clients of one server."""

    front_end: FrontEnd
    channel: grpc.aio.Channel
    address: str

    def __post_init__(self) -> None:
        channel: Any = self.channel
        self.info = tei_pb2_grpc.InfoStub(channel)
        self.embed = tei_pb2_grpc.EmbedStub(channel)
        self.predict = tei_pb2_grpc.PredictStub(channel)
        self.rerank = tei_pb2_grpc.RerankStub(channel)
        self.tokenize = tei_pb2_grpc.TokenizeStub(channel)
        self.typed = encoding_pb2_grpc.EncodingStub(channel)
        self.words = models_pb2_grpc.TokenizerStub(channel)


def make_models(folder: Path) -> dict[str, EncoderPart]:
    """A model for each kind of call, and one for none."""
    vectors = EmbeddingHead(pooling="mean", dimensions=4, prompts={"query": "Q: ", "document": ""})
    bundles = [
        make_text_encoder(folder / "vectors", "embed", embedding=vectors, max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "masks", "fill_mask", max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "moods", "classify", max_tokens=MAX_TOKENS),
        make_text_encoder(folder / "ranks", "rerank", "padded", labels=("fits",), max_tokens=MAX_TOKENS),
    ]
    for bundle in bundles:
        add_special_tokens(bundle / "tokenizer.json")
    return {bundle.name: load(bundle) for bundle in [*bundles, make_image_encoder(folder / "images")]}


@asynccontextmanager
async def tei_server(models: Sequence[EncoderPart], routes: str | None = None) -> AsyncIterator[Stubs]:
    """Serve these models, and the routes of a file, on a free port of the loopback."""
    front_end = FrontEnd(Metrics(CollectorRegistry()), lambda name, error: pytest.fail(f"{name}: {error}"))
    loaded = LoadedBundles(tuple(LoadedModel.of(model) for model in models))
    await front_end.start(loaded, routes=RoutesFile.parse(routes) if routes is not None else None)
    server = RpcServer(GrpcSettings(port=0))
    address = server.bind()
    await server.start(front_end)
    await server.health.set(serving=True, models=front_end.readiness())
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Stubs(front_end, channel, address)
    finally:
        await server.stop(0)
        await front_end.close()


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, field and words of a call's error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = await rpc_status.aio.from_call(call)
    bad = error_details_pb2.BadRequest()
    fields = [v.field for d in status.details if d.Unpack(bad) for v in bad.field_violations] if status else []
    return caught.value.code(), "".join(fields), caught.value.details() or ""
