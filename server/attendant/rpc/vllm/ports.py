"""Ports with one model each: a listener for VllmEngine, its health and reflection, beside that of all models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc.aio
from attendant_proto.vllm import engine_pb2, engine_pb2_grpc
from grpc_health.v1 import health as grpc_health

from attendant.core.errors import ConfigurationError, ModelNotFound
from attendant.core.repository import full_name, split_name
from attendant.core.stages import Tracer
from attendant.core.tally import CallLog
from attendant.frontend.front_end import FrontEnd
from attendant.rpc import reflection
from attendant.rpc.bounds import MessageBounds
from attendant.rpc.doorway import Doorway
from attendant.rpc.health import Health
from attendant.rpc.interceptor import Supervisor
from attendant.rpc.listening import channel_options, listen
from attendant.rpc.served_call import Refused
from attendant.rpc.vllm.servicer import VllmEngineServicer
from attendant.security.guard import Guard
from attendant.settings import EnginePort, GrpcSettings

SERVICE = engine_pb2.DESCRIPTOR.services_by_name["VllmEngine"].full_name
ABLE = frozenset({"continue", "embed"})
"""What a model has to be able to do, one of these, to stand behind a port. Gateways do not put the tokens around a text
that translators were made for, and have no recordings."""


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """A port that listens: host:port with the real port, and the model behind it."""

    address: str
    model: str


class EnginePorts:
    """All ports with one model each. The methods belong to one event loop. ``guard``: says whom to listen to; None: to
    everyone. ``refused``, ``log``: see :class:`~attendant.rpc.server.RpcServer`."""

    def __init__(
        self,
        settings: GrpcSettings,
        ports: Sequence[EnginePort],
        tracer: Tracer | None = None,
        guard: Guard | None = None,
        refused: Refused | None = None,
        log: CallLog | None = None,
        bounds: MessageBounds | None = None,
    ) -> None:
        self._ports = [_Port(settings, port, tracer, guard, refused, log, bounds) for port in ports]

    def bind(self) -> tuple[EngineEndpoint, ...]:
        """Take the ports. Raises ConfigurationError: one cannot be listened on."""
        return tuple([port.bind() for port in self._ports])

    async def start(self, front_end: FrontEnd) -> None:
        """Answer calls. Health says NOT_SERVING until told otherwise.

        Raises:
            ConfigurationError: there is no such model, or it neither continues nor embeds texts.
        """
        for port in self._ports:
            port.check(front_end)
        for port in self._ports:
            await port.start(front_end)

    async def set_health(self, *, serving: bool) -> None:
        """Tell everyone who asks or watches. ``serving``: the server as a whole takes calls."""
        for port in self._ports:
            await port.set_health(serving=serving)

    async def go_away(self) -> None:
        """Send callers elsewhere; see :meth:`Doorway.go_away`."""
        await asyncio.gather(*(port.go_away() for port in self._ports))

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; cut those that still run after ``grace_s`` seconds."""
        await asyncio.gather(*(port.stop(grace_s) for port in self._ports))


class _Port:
    def __init__(
        self,
        settings: GrpcSettings,
        port: EnginePort,
        tracer: Tracer | None,
        guard: Guard | None,
        refused: Refused | None,
        log: CallLog | None,
        bounds: MessageBounds | None,
    ) -> None:
        self._port = port
        supervisor = Supervisor(tracer, guard.door if guard is not None else None, refused, log, bounds)
        self._door = Doorway(
            lambda: grpc.aio.server(interceptors=(supervisor,), options=channel_options(settings)),
            lambda server, number: listen(server, settings.host, number, "vllm_engine", guard),
            port.port,
            lambda: supervisor.last_call_s,
        )
        self._health = Health((SERVICE,))
        self._front_end: FrontEnd | None = None

    def bind(self) -> EngineEndpoint:
        return EngineEndpoint(self._door.bind(), self._port.model)

    def check(self, front_end: FrontEnd) -> None:
        model = self._port.model
        try:
            found = front_end.get_model(model)
        except ModelNotFound as error:
            there = [full_name(each.name, each.version) for each in front_end.repository.index()]
            if model in {*there, *map(_plain, there)}:
                return  # it may be loaded later
            names = ", ".join(map(repr, sorted({*error.available, *map(_plain, there)}))) or "none"
            raise ConfigurationError(f"vllm_engine: there is no model {model!r}; there are: {names}") from None
        if found.capabilities and not ABLE & set(found.capabilities):
            fitting = [repr(info.name) for info in front_end.list_models() if ABLE & set(info.capabilities)]
            raise ConfigurationError(
                f"vllm_engine: {model!r} can {', '.join(found.capabilities)}; allowed, of those that can continue or "
                f"embed: {', '.join(fitting) or 'none'}"
            )

    async def start(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        servicer = VllmEngineServicer(front_end, self._port.model)

        async def fill(server: grpc.aio.Server) -> None:
            engine_pb2_grpc.add_VllmEngineServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
            self._health.add_to(server)
            reflection.add_to(server, (SERVICE, grpc_health.SERVICE_NAME))

        await self._health.set(serving=False)
        await self._door.start(fill)

    async def go_away(self) -> None:
        await self._door.go_away()

    async def set_health(self, *, serving: bool) -> None:
        await self._health.set(serving=serving and self._is_ready())

    async def stop(self, grace_s: float) -> None:
        await self._door.stop(grace_s)

    def _is_ready(self) -> bool:
        return self._front_end is not None and self._front_end.readiness().get(self._port.model, False)


def _plain(model: str) -> str:
    return split_name(model)[0]
