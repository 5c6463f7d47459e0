"""Every method of every contract, and every path: none answers strangers, but those that say how the server is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from attendant.app import Application, Endpoints
from attendant.http import app as http_app
from attendant.settings import AuthSettings, EncoderSettings, EngineSettings, GrpcSettings, HttpSettings, ServeSettings
from attendant.settings.repository import RepositorySettings
from attendant_proto.openinference import inference_pb2, inference_pb2_grpc
from grpc.aio._server import Server
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.routing import Route

from tests.security.authority import row
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

OPEN_METHODS = {
    *("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch"),
    *("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"),
}
OPEN_PATHS = {"/healthz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"}
ROUTES = """
routes:
  prod: {kind: alias, model: secret}
  both: {kind: canary, targets: [{model: chat}, {model: secret}]}
"""
CALLERS = (
    row("all", "all", ("infer", "admin", "metrics"))
    + row("chatter", "chat", models=("chat", "prod"))
    + row("embedder", "embed", models=("vec*",))
    + row("watcher", "watch", ("metrics",))
    + row("keeper", "keep", ("admin",), models=("kept",))
    + row("nobody", "none", ())
)


@dataclass
class Served:
    """A server that asks who calls, all that it answers, and ways to ask it."""

    endpoints: Endpoints
    methods: set[str]
    routes: list[Route]
    channel: grpc.aio.Channel
    engine: grpc.aio.Channel
    http: httpx.AsyncClient


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("closed")
    for name in ("chat", "secret"):
        make_synthetic_bundle(made / name, name=name, eos_bias=-1e4)
    make_text_encoder(made / "vectors", "embed", name="vectors")
    make_text_encoder(made / "models" / "kept" / "1", "embed", name="kept")
    (made / "routes.yaml").write_text(ROUTES)
    (made / "callers.yaml").write_text(CALLERS)
    return made


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    methods: set[str] = set()
    routes: list[Route] = []
    register, compose = Server.add_generic_rpc_handlers, http_app.app_of

    def registered(self: Any, handlers: Any) -> None:
        for handler in handlers:
            methods.update(handler._method_handlers)
        register(self, handlers)

    def composed(found: list[Route], *rest: Any) -> Any:
        routes.extend(found)
        return compose(found, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "add_generic_rpc_handlers", registered)
        patch.setattr(http_app, "app_of", composed)
        application = Application(
            ServeSettings(
                bundles=(folder / "chat", folder / "secret", folder / "vectors"),
                model_repository=folder / "models",
                repository=RepositorySettings(control="explicit", load=()),
                routes=folder / "routes.yaml",
                engine=EngineSettings(threads=1, spinning=False),
                encoder=EncoderSettings(threads=1, spinning=False),
                grpc=GrpcSettings(port=0),
                http=HttpSettings(port=0),
                vllm_engine=("0=secret",),
                auth=AuthSettings(tokens=folder / "callers.yaml"),
            )
        )
        try:
            endpoints = await application.start()
            async with (
                grpc.aio.insecure_channel(endpoints.grpc) as channel,
                grpc.aio.insecure_channel(endpoints.engines[0].address) as engine,
                httpx.AsyncClient(base_url=f"http://{endpoints.http}", timeout=300) as client,
            ):
                yield Served(endpoints, methods, routes, channel, engine, client)
        finally:
            await application.stop()


def with_server(folder: Path, test: Callable[[Served], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(folder) as served:
            await test(served)

    asyncio.run(asyncio.wait_for(main(), 600))


async def code_of(call: Any) -> str:
    """The status that a call ends with, its name."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def bare(channel: grpc.aio.Channel, method: str, *, token: str | None = None, deadline_s: float = 60) -> str:
    """The status of a call without messages."""
    call: Any = channel.stream_stream(method)(metadata=() if token is None else bearer(token), timeout=deadline_s)
    await call.done_writing()
    return await code_of(call)


def test_no_method_and_no_path_answers_who_is_not_known(folder: Path) -> None:
    async def test(served: Served) -> None:
        assert served.methods >= OPEN_METHODS
        assert len(served.methods) > 60, "of all contracts"
        for method in sorted(served.methods - OPEN_METHODS):
            channel = served.engine if method.startswith("/vllm.") else served.channel
            assert await bare(channel, method) == "UNAUTHENTICATED", method
        for token in ("wrong", ""):
            assert await bare(served.channel, "/attendant.v1.Models/ListModels", token=token) == "UNAUTHENTICATED"
        for channel in (served.channel, served.engine):
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        stub = inference_pb2_grpc.GRPCInferenceServiceStub(served.channel)
        assert (await stub.ServerReady(inference_pb2.ServerReadyRequest())).ready
        paths = {route.path for route in served.routes}
        assert paths >= OPEN_PATHS
        assert len(paths) > 60
        for route in served.routes:
            path = re.sub(r"\{[^}]*\}", "chat", route.path)
            for method in {*route.methods, "GET", "POST"}:
                answer = await served.http.request(method, path, content=b"not even JSON")
                if path in OPEN_PATHS:
                    assert answer.status_code in (200, 405)
                else:
                    assert (answer.status_code, method, path) == (401, method, path)
                    assert "Bearer" in answer.headers["www-authenticate"]
        for said in (headers("wrong"), {"authorization": "Basic YTpi"}, {"x-api-key": "wrong"}):
            for path in ("/v1/models", "/metrics", "/page/events", "/"):
                assert (await served.http.get(path, headers=said)).status_code == 401
        assert (await served.http.get("/no/such/path")).status_code == 401

    with_server(folder, test)
