"""Every method of every contract, and every path: none answers strangers, but those that say how the server is."""

from __future__ import annotations

import asyncio
import logging
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
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, generation_pb2_grpc, models_pb2, models_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.vllm import engine_pb2, engine_pb2_grpc
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
    + row("other", "other")
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
    make_synthetic_bundle(made / "chat", name="chat", eos_bias=-1e4)
    make_synthetic_bundle(made / "secret", name="secret", eos_bias=-1e4, context_length=50_000)
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


async def refused(call: Any) -> tuple[str, str]:
    """Code and words that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call if not hasattr(call, "__aiter__") else [each async for each in call]
    return caught.value.code().name, caught.value.details() or ""


def test_callers_see_and_use_what_was_granted_and_nothing_else(folder: Path) -> None:
    async def test(served: Served) -> None:
        models: Any = models_pb2_grpc.ModelsStub(served.channel)
        generation: Any = generation_pb2_grpc.GenerationStub(served.channel)
        triton: Any = inference_pb2_grpc.GRPCInferenceServiceStub(served.channel)
        listing, everyone = models_pb2.ListModelsRequest(), {"chat", "secret", "vectors", "prod", "both"}
        chat = bearer("chat")
        for token, expected in (("all", everyone), ("chat", {"chat", "prod"}), ("embed", {"vectors"}), ("keep", set())):
            listed = await models.ListModels(listing, metadata=bearer(token))
            assert {each.name for each in listed.models} == expected
            told = (await served.http.get("/v2/models", headers=headers(token))).json()["models"]
            assert set(told) == expected | ({"kept"} if token in ("all", "keep") else set())
            openai = (await served.http.get("/v1/models", headers=headers(token))).json()["data"]
            assert {each["id"] for each in openai} == expected
        # what is named has to be permitted, whether it exists or not; nothing of others is told
        for name in ("secret", "both", "vectors", "secret@1", "no-such"):
            said = await refused(models.GetModel(models_pb2.GetModelRequest(model=name), metadata=chat))
            assert said == ("PERMISSION_DENIED", f"'chatter' may not use model {name!r}; allowed: 'chat', 'prod'")
            asked = pb.GenerateRequest(model=name, text="a", stopping=pb.Stopping(max_tokens=1))
            assert (await refused(generation.Generate(asked, metadata=chat)))[0] == "PERMISSION_DENIED"
            statistics = inference_pb2.ModelStatisticsRequest(name=name.partition("@")[0])
            assert (await refused(triton.ModelStatistics(statistics, metadata=chat)))[0] == "PERMISSION_DENIED"
            body = {"model": name, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
            answer = await served.http.post("/v1/chat/completions", headers=headers("chat"), json=body)
            assert (answer.status_code, "may not use" in answer.json()["error"]["message"]) == (403, True)
            answer = await served.http.post("/v1/messages", headers={"x-api-key": "chat"}, json=body)
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")
        # a route is a name of its own, and a model left out means the only one that may be used
        for name in ("chat", "prod", ""):
            asked = pb.GenerateRequest(model=name, text="a", stopping=pb.Stopping(max_tokens=3))
            parts = [each async for each in generation.Generate(asked, metadata=chat)]
            assert sum(len(part.token_ids) for part in parts) == 3
        asked = pb.GenerateRequest(model="", text="a", stopping=pb.Stopping(max_tokens=3))
        code, words = await refused(generation.Generate(asked, metadata=bearer("embed")))
        assert (code, "secret" in words, "chat" in words) == ("NOT_FOUND", False, False)
        stub: Any = encoding_pb2_grpc.EncodingStub(served.channel)
        text = encoding_pb2.EmbedRequest(inputs=[encoding_pb2.TextInput(text="a")])
        assert len((await stub.Embed(text, metadata=bearer("embed"))).embeddings) == 1
        assert (await refused(stub.Embed(text, metadata=bearer("watch"))))[0] == "PERMISSION_DENIED"
        assert (await refused(stub.Embed(text, metadata=bearer("none"))))[0] == "PERMISSION_DENIED"

    with_server(folder, test)


def test_a_port_with_one_model_is_for_who_may_use_it_and_callers_end_their_own_calls(folder: Path) -> None:
    async def test(served: Served) -> None:
        engine: Any = engine_pb2_grpc.VllmEngineStub(served.engine)
        asked = engine_pb2.GenerateRequest(
            request_id="mine",
            text="a",
            stream=True,
            sampling_params=engine_pb2.SamplingParams(temperature=0.0, max_tokens=40_000),
        )
        for call in (
            engine.Generate(asked, metadata=bearer("chat")),
            engine.GetModelInfo(engine_pb2.GetModelInfoRequest(), metadata=bearer("chat")),
            engine.GetLoads(engine_pb2.GetLoadsRequest(), metadata=bearer("chat")),
            engine.HealthCheck(engine_pb2.HealthCheckRequest(), metadata=bearer("chat")),
            engine.Abort(engine_pb2.AbortRequest(request_ids=["mine"]), metadata=bearer("chat")),
        ):
            assert (await refused(call))[0] == "PERMISSION_DENIED"
        running = aiter(engine.Generate(asked, metadata=bearer("all")))
        await anext(running)
        abort = engine_pb2.AbortRequest(request_ids=["mine"])
        await engine.Abort(abort, metadata=bearer("other"))  # who has no call of this id
        await engine.Abort(abort, metadata=bearer("all"))
        *_, last = [each async for each in running]
        assert last.complete.finish_reason == "abort"

    with_server(folder, test)


def test_what_changes_the_server_takes_the_right_to_and_is_written_down(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(served: Served) -> None:
        models: Any = models_pb2_grpc.ModelsStub(served.channel)
        triton: Any = inference_pb2_grpc.GRPCInferenceServiceStub(served.channel)
        load = models_pb2.LoadRequest(model="kept")
        setting = inference_pb2.LogSettingsRequest()
        setting.settings["log_verbose_level"].uint32_param = 0
        mine = (*bearer("all"), ("x-request-id", "r7"))
        for call in (
            models.Load(load, metadata=bearer("chat")),
            triton.RepositoryModelLoad(
                inference_pb2.RepositoryModelLoadRequest(model_name="kept"), metadata=bearer("watch")
            ),
            models.Load(models_pb2.LoadRequest(model="chat"), metadata=bearer("keep")),
            triton.LogSettings(setting, metadata=bearer("chat")),
        ):
            assert (await refused(call))[0] == "PERMISSION_DENIED"
        for path, body in (
            ("/v2/repository/models/kept/load", {}),
            ("/v2/logging", {"log_verbose_level": 0}),
            ("/v2/trace/setting", {"trace_rate": "5"}),
        ):
            answer = await served.http.post(path, headers=headers("chat"), json=body)
            assert (answer.status_code, "'admin'" in answer.json()["error"]) == (403, True)
        assert (await served.http.get("/v2/logging", headers=headers("chat"))).status_code == 200
        assert len((await models.Load(load, metadata=bearer("keep"))).versions) == 1
        assert len((await triton.LogSettings(setting, metadata=mine)).settings) > 0
        await models.Unload(models_pb2.UnloadRequest(model="kept"), metadata=mine)

    with caplog.at_level(logging.INFO, "attendant.audit"):
        level = logging.getLogger("attendant").level
        try:
            with_server(folder, test)
        finally:
            logging.getLogger("attendant").setLevel(level)
    told = [record.getMessage() for record in caplog.records if record.name == "attendant.audit"]
    for words in (
        "load 'kept': refused or failed: NotPermitted; subject 'chatter', peer ",
        "load 'chat': refused or failed: NotPermitted; subject 'keeper', peer ",
        "change what is logged: refused or failed: NotPermitted; subject 'chatter', peer ",
        "change what is traced: refused or failed: NotPermitted; subject 'chatter', peer ",
        "load 'kept': done; subject 'keeper', peer ",
        "change what is logged: done; subject 'all', peer ",
        "unload 'kept': done; subject 'all', peer ",
    ):
        assert any(line.startswith(words) for line in told), (words, told)
    assert sum("request r7" in line for line in told) == 2
    assert not any(f'"{token}"' in line for line in told for token in ("all", "chat", "keep"))


def test_figures_and_the_page_follow_tokens(folder: Path) -> None:
    async def test(served: Served) -> None:
        def browser(token: str) -> tuple[str, str]:
            return ("anybody", token)

        for path in ("/metrics", "/metrics/load"):
            assert (await served.http.get(path, headers=headers("chat"))).status_code == 403
            assert (await served.http.get(path, headers=headers("watch"))).status_code == 200
            assert (await served.http.get(path, auth=browser("watch"))).status_code == 401
        told = await served.http.get("/")
        assert told.headers["www-authenticate"].startswith("Basic ")
        assert (await served.http.get("/", auth=browser("chat"))).status_code == 200
        assert (await served.http.get("/docs", auth=browser("chat"))).status_code == 200
        assert (await served.http.get("/page/events", auth=browser("chat"))).status_code == 403
        async with served.http.stream("GET", "/page/events", auth=browser("all")) as events:
            assert events.status_code == 200
        body = {"model": "chat", "text": "a", "max_tokens": 2}
        answer = await served.http.post("/page/generate", auth=browser("chat"), json=body)
        assert answer.status_code == 200, answer.text
        answer = await served.http.post("/page/generate", auth=browser("watch"), json=body)
        assert answer.status_code == 403
        page = (await served.http.get("/metrics", headers=headers("watch"))).text
        assert 'attendant_auth_refusals_total{reason="scope"} ' in page

    with_server(folder, test)
