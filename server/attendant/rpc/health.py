"""What grpc.health.v1 says about each service."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

ServingStatus = health_pb2.HealthCheckResponse


class Health:
    """One status for all services: a server either serves or does not. Starts as NOT_SERVING."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = ("", *services)
        self._servicer = aio.HealthServicer()
        self.serving = False

    async def add_to(self, server: Any) -> None:
        """Register with a gRPC server that has not started."""
        await self.set(serving=False)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, *, serving: bool) -> None:
        """Tell everyone who asks or watches."""
        self.serving = serving
        status = ServingStatus.SERVING if serving else ServingStatus.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, status)
