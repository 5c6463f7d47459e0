"""Calls that tell of the server and its models, and those that change them: each asks the gRPC half's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from attendant.core.errors import NotOffered, Unavailable
from attendant.http.api.answers import NO_STORE
from attendant.http.api.bodies import parsed
from attendant.http.api.openinference import told
from attendant.http.api.openinference.answering import as_json
from attendant.http.api.openinference.bodies import ChangeBody, IndexBody, SettingsBody
from attendant.http.api.openinference.paths import model_of
from attendant.rpc.openinference.servicer import InferenceServicer

EMPTY = b"{}"
"""What a call means that sends nothing."""

BINARY_DATA = "binary_tensor_data"
"""An extension that only HTTP has."""


async def live(request: Request) -> Response:
    """The process answers."""
    return said({"live": True})


def ready(servicer: Callable[[], InferenceServicer]) -> Callable[[Request], Any]:
    """Whether the server takes requests: 200, or 503."""

    async def endpoint(request: Request) -> Response:
        try:
            now = (await servicer().ServerReady(pb.ServerReadyRequest(), None)).ready
        except Unavailable:
            now = False
        return said({"ready": now}, 200 if now else 503)

    return endpoint


async def server_metadata(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Name, version, and what of Triton's extensions there is."""
    found = await servicer.ServerMetadata(pb.ServerMetadataRequest(), None)
    found.extensions.append(BINARY_DATA)
    return said(told.plain(found))


async def models(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Names of the models and routes, as KServe lists them; the index has their versions and states."""
    return said({"models": list(dict.fromkeys(each.name for each in servicer.models.index()))})


async def model_ready(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Whether a model takes requests: 200, 503, or 404 for one that there is not."""
    name, version = model_of(request)
    if (await servicer.ModelReady(pb.ModelReadyRequest(name=name, version=version), None)).ready:
        return said({"name": name, "ready": True})
    await servicer.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version), None)  # says why
    raise Unavailable(f"model {name[:200]!r} takes no requests now")


async def model_metadata(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """The tensors that a model takes and gives."""
    name, version = model_of(request)
    return said(told.plain(await servicer.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version), None)))


async def config(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """How a model is served."""
    name, version = model_of(request)
    found = await servicer.ModelConfig(pb.ModelConfigRequest(name=name, version=version), None)
    return said(told.plain(found.config))


async def statistics(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """What a model has done, or every one."""
    name, version = model_of(request)
    return said(told.plain(await servicer.ModelStatistics(pb.ModelStatisticsRequest(name=name, version=version), None)))


async def index(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Every version of every model."""
    asked = await parsed(IndexBody, body or EMPTY)
    found = await servicer.RepositoryIndex(pb.RepositoryIndexRequest(ready=asked.ready), None)
    return said([told.plain(each) for each in found.models])


async def load(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Loads what the repository has of a model."""
    asked = told.load_request(model_of(request)[0], await parsed(ChangeBody, body or EMPTY))
    await servicer.RepositoryModelLoad(asked, None)
    return said({"name": asked.model_name, "load": True})


async def unload(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Takes a model out of service."""
    asked = told.unload_request(model_of(request)[0], await parsed(ChangeBody, body or EMPTY))
    await servicer.RepositoryModelUnload(asked, None)
    return said({"name": asked.model_name, "unload": True})


async def log_settings(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """What is logged, and with POST, what is to be."""
    asked = told.log_request(await parsed(SettingsBody, body or EMPTY))
    return said(told.log_told(await servicer.LogSettings(asked, None)))


async def trace_settings(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """What is traced, and with POST, what is to be."""
    asked = told.trace_request(model_of(request)[0], await parsed(SettingsBody, body or EMPTY))
    return said(told.trace_told(await servicer.TraceSetting(asked, None)))


async def shared_memory(servicer: InferenceServicer, request: Request, body: bytes) -> Response:
    """Refused: no memory is shared."""
    raise NotOffered("no memory is shared; tensors come and go in requests and answers, as binary data, too")


def said(body: Any, status: int = 200) -> Response:
    """``body`` as JSON."""
    return Response(as_json(body), status, NO_STORE, "application/json")
