"""A server whose models come and go: what its callers see of it on the wire."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from attendant import app, building
from attendant.app import Application
from attendant.demo import demo_bundle
from attendant.settings import EngineSettings, GrpcSettings, HttpSettings, ServeSettings
from attendant_proto.v1 import models_pb2, models_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.synthetic import make_synthetic_bundle


def test_callers_see_models_come_and_go(tmp_path: Path) -> None:
    other = make_synthetic_bundle(tmp_path / "other", name="other")
    status = health_pb2.HealthCheckResponse
    settings = ServeSettings(
        bundles=(demo_bundle(),),
        engine=EngineSettings(threads=1, spinning=False),
        grpc=GrpcSettings(port=0),
        http=HttpSettings(port=0),
    )

    async def main() -> None:
        application = Application(settings)
        endpoints = await application.start()
        front_end = application._front_end
        assert front_end is not None
        async with grpc.aio.insecure_channel(endpoints.grpc) as channel:
            models = models_pb2_grpc.ModelsStub(channel)
            health: Any = health_pb2_grpc.HealthStub(channel)

            async def seen() -> dict[str, int]:
                found = await models.ListModels(models_pb2.ListModelsRequest())
                return {model.name: model.state for model in found.models}

            async def healthy(name: str) -> int:
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
                return int(answer.status)

            assert await seen() == {"demo": models_pb2.MODEL_STATE_READY}
            await front_end.models.load(other)
            assert await seen() == {"demo": models_pb2.MODEL_STATE_READY, "other": models_pb2.MODEL_STATE_READY}
            assert await healthy("other") == status.SERVING
            await front_end.models.unload("other", 1)
            assert await seen() == {"demo": models_pb2.MODEL_STATE_READY}
            assert await healthy("other") == status.SERVICE_UNKNOWN
            assert await healthy("demo") == await healthy("") == status.SERVING
        await application.stop()

    try:
        asyncio.run(asyncio.wait_for(main(), 120))
    finally:
        gc.unfreeze()  # what the server froze is this process's, too


def test_routes_that_change_while_models_load_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("routes: {before: {kind: alias, model: demo}}", encoding="utf-8")
    settings = ServeSettings(
        bundles=(demo_bundle(),),
        routes=file,
        engine=EngineSettings(threads=1, spinning=False),
        grpc=GrpcSettings(port=0),
        http=HttpSettings(port=0),
    )
    load = building.load_named

    async def main() -> None:
        application = Application(settings)

        async def changes(*args: Any, **kwargs: Any) -> Any:
            file.write_text("routes: {after: {kind: alias, model: demo}}", encoding="utf-8")
            application.on_hangup()
            return await load(*args, **kwargs)

        monkeypatch.setattr(app, "load_named", changes)
        await application.start()
        assert application._front_end is not None
        assert application._routes is not None
        assert application._routes._reading is not None
        await application._routes._reading
        assert {info.name for info in application._front_end.list_models()} == {"demo", "after"}
        await application.stop()

    try:
        asyncio.run(asyncio.wait_for(main(), 120))
    finally:
        gc.unfreeze()  # what the server froze is this process's, too
