"""The gRPC server: servicers, supervision, limits, health and reflection on one port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc.aio
from attendant_proto.openinference import inference_pb2, inference_pb2_grpc
from attendant_proto.orca import service_pb2 as orca_pb2
from attendant_proto.orca import service_pb2_grpc as orca_pb2_grpc
from attendant_proto.tei import tei_pb2
from attendant_proto.v1 import (
    encoding_pb2,
    encoding_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    speech_pb2,
    speech_pb2_grpc,
)
from grpc_health.v1 import health

from attendant.core.stages import Tracer
from attendant.core.tally import CallLog
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.recent import LoadNow
from attendant.rpc import reflection
from attendant.rpc.bounds import MessageBounds
from attendant.rpc.doorway import Doorway
from attendant.rpc.encoding import EncodingServicer
from attendant.rpc.explain import ExplainServicer
from attendant.rpc.health import Health
from attendant.rpc.interceptor import Supervisor
from attendant.rpc.listening import channel_options, listen
from attendant.rpc.openinference.methods import methods_of
from attendant.rpc.openinference.models import Models
from attendant.rpc.openinference.servicer import InferenceServicer
from attendant.rpc.orca import LoadReports, OrcaServicer
from attendant.rpc.served_call import Refused
from attendant.rpc.servicers import GenerationServicer, ModelsServicer, TokenizerServicer
from attendant.rpc.speech import SpeechServicer
from attendant.rpc.tei import servicers as tei
from attendant.security.guard import Guard
from attendant.settings import GrpcSettings
from attendant.traffic.recorder import Recorder

GENERATION, ENCODING, SPEECH, MODELS, TOKENIZER, EXPLAIN = (
    f"attendant.v1.{name}" for name in ("Generation", "Encoding", "Speech", "Models", "Tokenizer", "Explain")
)
_FILES = (
    *(generation_pb2.DESCRIPTOR, encoding_pb2.DESCRIPTOR, speech_pb2.DESCRIPTOR, models_pb2.DESCRIPTOR),
    *(explain_pb2.DESCRIPTOR, inference_pb2.DESCRIPTOR, tei_pb2.DESCRIPTOR, orca_pb2.DESCRIPTOR),
)
_SERVICES = {service.full_name: service for file in _FILES for service in file.services_by_name.values()}
SERVICES = tuple(_SERVICES)


class RpcServer:
    """attendant.v1, and the contracts of others' clients, on one port. All of its methods belong to one event loop.

    Args:
        tracer: takes in how calls went; None: nobody does.
        explain: serve Explain, too.
        guard: says whom to listen to; None: to everyone.
        refused: hears after how many seconds a call was refused for want of room or time.
        log: writes a line of each call; None: nobody does.
        bounds: of what messages have.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        tracer: Tracer | None = None,
        *,
        explain: bool = True,
        guard: Guard | None = None,
        refused: Refused | None = None,
        log: CallLog | None = None,
        bounds: MessageBounds | None = None,
    ) -> None:
        self._tracer = tracer
        self._guard = guard
        self._services = tuple([name for name in SERVICES if explain or name != EXPLAIN])
        self._front_end: FrontEnd | None = None
        self._reports = LoadReports(self._loads)
        supervisor = Supervisor(
            tracer,
            guard.door if guard is not None else None,
            refused,
            log,
            bounds,
            self._reports if settings.load_trailers else None,
        )
        self._door = Doorway(
            lambda: grpc.aio.server(interceptors=(supervisor,), options=channel_options(settings)),
            lambda server, port: listen(server, settings.host, port, "grpc.port", guard),
            settings.port,
            lambda: supervisor.last_call_s,
        )
        self.health = Health(self._services)
        self.inference: InferenceServicer | None = None
        """The Open Inference Protocol, which HTTP speaks, too; None until :meth:`start`."""

    def bind(self) -> str:
        """Take the port. Callers may connect from now on; they are answered after :meth:`start`.

        Returns:
            host:port, with the real port.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        return self._door.bind()

    async def start(self, front_end: FrontEnd, recorder: Recorder | None = None) -> None:
        """Answer calls. Health says NOT_SERVING until told otherwise. ``recorder``: keeps some of them."""
        self._front_end = front_end
        served = self._served(front_end, recorder)
        methods = methods_of((_SERVICES[name], servicer) for name, (servicer, _) in served.items())
        models = Models(front_end, methods, recorder)
        everyone = self._guard is not None and self._guard.settings_by_everyone
        inference = self.inference = InferenceServicer(
            models, lambda: self.health.serving, self._tracer, settings_by_everyone=everyone
        )

        async def fill(server: grpc.aio.Server) -> None:
            for servicer, add in served.values():
                add(servicer, server)
            inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, server)  # type: ignore[no-untyped-call]
            tei.add_to(server, front_end)
            orca_pb2_grpc.add_OpenRcaServiceServicer_to_server(OrcaServicer(self._reports), server)  # type: ignore[no-untyped-call]
            self.health.add_to(server)
            reflection.add_to(server, (*self._services, health.SERVICE_NAME))

        await self.health.set(serving=False)
        await self._door.start(fill)

    async def go_away(self) -> None:
        """Send callers elsewhere; see :meth:`Doorway.go_away`."""
        await self._door.go_away()

    def _loads(self) -> Iterable[LoadNow]:
        return self._front_end.busy() if self._front_end is not None else ()

    def _served(
        self, front_end: FrontEnd, recorder: Recorder | None
    ) -> dict[str, tuple[Any, Callable[[Any, grpc.aio.Server], None]]]:
        """What serves each service of attendant.v1, by its name, and what adds it to a gRPC server."""
        generation, models, encoding = generation_pb2_grpc, models_pb2_grpc, encoding_pb2_grpc
        found: dict[str, tuple[Any, Any]] = {
            GENERATION: (
                GenerationServicer(front_end.generation, recorder),
                generation.add_GenerationServicer_to_server,
            ),
            MODELS: (ModelsServicer(front_end), models.add_ModelsServicer_to_server),
            TOKENIZER: (TokenizerServicer(front_end.tokenizer), models.add_TokenizerServicer_to_server),
            ENCODING: (EncodingServicer(front_end.encoding, recorder), encoding.add_EncodingServicer_to_server),
            SPEECH: (SpeechServicer(front_end.speech, recorder), speech_pb2_grpc.add_SpeechServicer_to_server),
            EXPLAIN: (ExplainServicer(front_end.explain), explain_pb2_grpc.add_ExplainServicer_to_server),
        }
        return {name: each for name, each in found.items() if name in self._services}

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; cut those that still run after ``grace_s`` seconds."""
        await self._door.stop(grace_s)
