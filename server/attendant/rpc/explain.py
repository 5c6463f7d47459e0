"""attendant.v1.Explain: what a model looked at, and what its answer hung on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from attendant_proto.v1 import explain_pb2 as pb
from attendant_proto.v1 import explain_pb2_grpc

from attendant.frontend.explain.service import ExplainService
from attendant.rpc import convert_explain as convert
from attendant.rpc.context import of_this_call
from attendant.rpc.convert_chat import timely


class ExplainServicer(explain_pb2_grpc.ExplainServicer):
    """attendant.v1.Explain."""

    def __init__(self, service: ExplainService) -> None:
        self._service = service

    async def Attention(  # noqa: N802
        self, request: pb.AttentionRequest, context: Any
    ) -> AsyncGenerator[pb.AttentionResponse, None]:
        """Weights, layer by layer."""
        call = await timely(request.subject.chat, lambda: convert.attention_call(request))
        attended = await self._service.attention(call, of_this_call())
        for response in convert.attention_responses(attended):
            yield response

    async def Attribute(self, request: pb.AttributeRequest, context: Any) -> pb.AttributeResponse:  # noqa: N802
        """Shares of the parts of a text."""
        call = await timely(request.subject.chat, lambda: convert.attribute_call(request))
        return convert.attribute_response(await self._service.attribute(call, of_this_call()))

    async def Similarity(self, request: pb.SimilarityRequest, context: Any) -> pb.SimilarityResponse:  # noqa: N802
        """Cosines between words."""
        call = convert.similarity_call(request)
        return convert.similarity_response(await self._service.similarity(call, of_this_call()))
