"""The paths of the protocol, and of Triton's extensions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.http.api.answers import in_events, in_one
from attendant.http.api.bodies import read_bytes
from attendant.http.api.openinference import inferring, managing
from attendant.http.api.openinference.compression import inflated
from attendant.http.api.openinference.dialect import OPEN_INFERENCE
from attendant.http.api.openinference.paths import EncodedRoute
from attendant.rpc.openinference.servicer import InferenceServicer

Ask = Callable[[InferenceServicer, Request, bytes], Awaitable[Response]]
Servicer = Callable[[], InferenceServicer]

_SHARED = tuple(
    f"/{kind}sharedmemory{region}/{what}"
    for kind in ("system", "cuda")
    for region in ("", "/region/{region:path}")
    for what in ("status", "register", "unregister")
)
_BOTH = ("GET", "POST")
_MODELS = ("/models/{model:path}/versions/{version}", "/models/{model:path}")
"""The longer one first: a name may have slashes."""


def openinference_routes(servicer: Servicer) -> list[Route]:
    """Everything under /v2 that is the protocol's.

    Args:
        servicer: of the gRPC half, asked at each call; raises Unavailable as long as models are being loaded.
    """

    def route(path: str, ask: Ask, *methods: str) -> Route:
        return EncodedRoute(f"/v2{path}", _endpoint(servicer, ask), methods=methods or ("GET",))

    found = [
        route("", managing.server_metadata),
        Route("/v2/health/live", managing.live),
        Route("/v2/health/ready", managing.ready(servicer)),
        route("/models", managing.models),
        route("/models/stats", managing.statistics),
        route("/repository/index", managing.index, "POST"),
        route("/repository/models/{model:path}/load", managing.load, "POST"),
        route("/repository/models/{model:path}/unload", managing.unload, "POST"),
        route("/logging", managing.log_settings, *_BOTH),
        route("/trace/setting", managing.trace_settings, *_BOTH),
        *(route(path, managing.shared_memory, *_BOTH) for path in _SHARED),
    ]
    for model in _MODELS:
        found += [
            route(f"{model}/infer", inferring.infer, "POST"),
            route(f"{model}/generate", inferring.generate, "POST"),
            EncodedRoute(f"/v2{model}/generate_stream", _stream(servicer), methods=["POST"]),
            route(f"{model}/ready", managing.model_ready),
            route(f"{model}/config", managing.config),
            route(f"{model}/stats", managing.statistics),
            route(f"{model}/trace/setting", managing.trace_settings, *_BOTH),
        ]
    return found + [route(model, managing.model_metadata) for model in _MODELS]


def _endpoint(servicer: Servicer, ask: Ask) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _read(request)
        return await in_one(request, OPEN_INFERENCE, lambda: ask(servicer(), request, body))

    endpoint.__name__, endpoint.__doc__ = ask.__name__, ask.__doc__
    return endpoint


def _stream(servicer: Servicer) -> Callable[[Request], Awaitable[Response]]:
    async def generate_stream(request: Request) -> Response:
        """A flat request, and an event for each of its answers."""
        body = await _read(request)
        return await in_events(request, OPEN_INFERENCE, lambda: inferring.generate_stream(servicer(), request, body))

    return generate_stream


async def _read(request: Request) -> bytes:
    return await inflated(request, await read_bytes(request)) if request.method == "POST" else b""
