"""inference.GRPCInferenceService: one short method for each call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb
from attendant_proto.openinference import inference_pb2_grpc

from attendant.rpc.context import of_this_call
from attendant.rpc.openinference.infer import Inference
from attendant.rpc.openinference.models import Models
from attendant.rpc.openinference.stream import responses

STATUS_KEY = "triton_grpc_error"
"""Metadata by which a stream asks to end with the status of the first request that fails."""


class InferenceServicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """The Open Inference Protocol, with Triton's extensions. ``models``: those of the server."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:  # noqa: N802
        """One request, one response."""
        return await Inference(self._models, request).single(of_this_call())

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Requests one after another, each with any number of responses. Closing the stream cancels those that run."""
        metadata = dict(context.invocation_metadata() or ())
        begin = partial(Inference, self._models)
        ends = str(metadata.get(STATUS_KEY, "")).lower() == "true"
        async with aclosing(responses(requests, begin, end_on_error=ends)) as parts:
            async for part in parts:
                yield part
