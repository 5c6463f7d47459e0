"""What grpc.health.v1 says about each service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

ServingStatus = health_pb2.HealthCheckResponse


class Health:
    """One status for all services: a server either serves or does not. Starts as NOT_SERVING.

    A model has one, too, under its name as that of a service: NOT_SERVING if it cannot be served though others are.
    """

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = ("", *services)
        self._servicer = aio.HealthServicer()
        self._models: dict[str, bool] = {}
        self.serving = False

    async def add_to(self, server: Any) -> None:
        """Register with a gRPC server that has not started."""
        await self.set(serving=False)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, *, serving: bool, models: Mapping[str, bool] | None = None) -> None:
        """Tell everyone who asks or watches. ``models``: which there are, and whether each can be served."""
        self.serving = serving
        if models is not None:
            for gone in self._models.keys() - models.keys():
                await self._servicer.set(gone, ServingStatus.SERVICE_UNKNOWN)
            self._models = {name: ready for name, ready in models.items() if name not in self._services}
        for service, ready in {**self._models, **dict.fromkeys(self._services, True)}.items():
            status = ServingStatus.SERVING if serving and ready else ServingStatus.NOT_SERVING
            await self._servicer.set(service, status)
