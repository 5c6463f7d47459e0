"""What grpc.health.v1 says about each service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

ServingStatus = health_pb2.HealthCheckResponse
_messages: Any = health_pb2  # its stubs do not know List


class Health:
    """One status for all services: a server either serves or does not. Starts as NOT_SERVING.

    A model has one, too, under its name as that of a service: NOT_SERVING if it cannot be served though others are.

    Attributes:
        open: whether the server wants calls.
        serving: what all services say.
    """

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = ("", *services)
        self._servicer = _Servicer(self)
        self._models: dict[str, bool] = {}
        self.open = False
        self.serving = False

    def add_to(self, server: Any) -> None:
        """Register with a gRPC server that has not started."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, *, serving: bool, models: Mapping[str, bool] | None = None, well: bool = True) -> None:
        """Tell everyone who asks or watches.

        Args:
            serving: the server wants calls.
            models: which there are, and whether each can be served.
            well: nothing is wrong with the server as a whole; single models may still serve if there is.
        """
        self.open, self.serving = serving, serving and well
        if models is not None:
            for gone in self._models.keys() - models.keys():
                await self._servicer.set(gone, ServingStatus.SERVICE_UNKNOWN)
            self._models = {name: ready for name, ready in models.items() if name not in self._services}
        for service, status in self.statuses().items():
            await self._servicer.set(service, status)

    def statuses(self) -> dict[str, Any]:
        """What is said of each service and model now."""
        ready = {**self._models, **dict.fromkeys(self._services, self.serving)}
        return {
            name: ServingStatus.SERVING if self.open and is_ready else ServingStatus.NOT_SERVING
            for name, is_ready in ready.items()
        }


class _Servicer(aio.HealthServicer):
    """grpcio's, which has no List."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        """The status of all at once."""
        found = {name: ServingStatus(status=status) for name, status in self._health.statuses().items()}
        return _messages.HealthListResponse(statuses=found)
