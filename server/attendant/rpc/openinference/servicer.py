"""inference.GRPCInferenceService: one short method for each call."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import inference_pb2_grpc

from attendant import __version__
from attendant.core.stages import Tracer
from attendant.rpc.context import of_this_call
from attendant.rpc.openinference.infer import Inference
from attendant.rpc.openinference.log_settings import log_settings
from attendant.rpc.openinference.models import Models
from attendant.rpc.openinference.repository import index_response, named
from attendant.rpc.openinference.stream import responses
from attendant.rpc.openinference.trace_settings import trace_settings

EXTENSIONS = (
    *("model_repository", "model_configuration", "statistics"),
    *("schedule_policy", "parameters", "logging"),
)
"""Those of Triton's that this server has; where calls are followed, trace is one more. Not among them: memory that is
shared, sequences, classification of any output (models that classify have outputs of their own for it)."""

STATUS_KEY = "triton_grpc_error"
"""Metadata by which a stream asks to end with the status of the first request that fails."""


class InferenceServicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """The Open Inference Protocol, with Triton's extensions.

    Args:
        models: those of the server.
        serving: whether the server takes requests.
        tracer: follows calls; None: none are.
        settings_by_everyone: whoever calls may change what is logged and traced.
    """

    def __init__(
        self,
        models: Models,
        serving: Callable[[], bool],
        tracer: Tracer | None = None,
        *,
        settings_by_everyone: bool = False,
    ) -> None:
        self.models = models
        self._everyone = settings_by_everyone
        self._serving = serving
        self._tracer = tracer

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:  # noqa: N802
        """The process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:  # noqa: N802
        """Whether it takes requests."""
        return pb.ServerReadyResponse(ready=self._serving())

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: Any
    ) -> pb.ServerMetadataResponse:
        """Name, version, and what of Triton's extensions there is."""
        extensions = EXTENSIONS if self._tracer is None else (*EXTENSIONS, "trace")
        return pb.ServerMetadataResponse(name="attendant", version=__version__, extensions=extensions)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:  # noqa: N802
        """Whether a model takes requests."""
        return pb.ModelReadyResponse(ready=self.models.ready(request.name, request.version))

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Any
    ) -> pb.ModelMetadataResponse:
        """The tensors that a model takes and gives."""
        return self.models.metadata(request.name, request.version)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Any) -> pb.ModelConfigResponse:  # noqa: N802
        """How a model is served."""
        return pb.ModelConfigResponse(config=self.models.config(request.name, request.version))

    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, context: Any
    ) -> pb.ModelStatisticsResponse:
        """What models have done."""
        return await self.models.statistics(request.name, request.version)

    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, context: Any
    ) -> pb.RepositoryIndexResponse:
        """Every version of every model."""
        await self.models.repository.refresh()
        return index_response(request, self.models.index())

    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, context: Any
    ) -> pb.RepositoryModelLoadResponse:
        """Loads what the repository has of a model."""
        await self.models.repository.load(*named(request))
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, context: Any
    ) -> pb.RepositoryModelUnloadResponse:
        """Takes a model out of service."""
        await self.models.repository.unload(*named(request))
        return pb.RepositoryModelUnloadResponse()

    async def TraceSetting(self, request: pb.TraceSettingRequest, context: Any) -> pb.TraceSettingResponse:  # noqa: N802
        """What is traced."""
        return trace_settings(request, self._tracer, everyone=self._everyone)

    async def LogSettings(self, request: pb.LogSettingsRequest, context: Any) -> pb.LogSettingsResponse:  # noqa: N802
        """What is logged."""
        return log_settings(request, logging.getLogger("attendant"), everyone=self._everyone)

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:  # noqa: N802
        """One request, one response."""
        return await Inference(self.models, request).single(of_this_call())

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Requests one after another, each with any number of responses. Closing the stream cancels those that run."""
        metadata = dict(context.invocation_metadata() or ())
        begin = partial(Inference, self.models)
        ends = str(metadata.get(STATUS_KEY, "")).lower() == "true"
        async with aclosing(responses(requests, begin, end_on_error=ends)) as parts:
            async for part in parts:
                yield part
