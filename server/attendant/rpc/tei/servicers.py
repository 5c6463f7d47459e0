"""The five services of TEI's contract: short methods over one function for each kind of request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from attendant_proto.tei import tei_pb2 as pb
from attendant_proto.tei import tei_pb2_grpc
from google.protobuf.message import Message

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.frontend.front_end import FrontEnd
from attendant.rpc.context import of_this_call
from attendant.rpc.tei.answers import Answer, told
from attendant.rpc.tei.calls import Calls
from attendant.rpc.tei.info import info_of
from attendant.rpc.tei.ranking import Ranking
from attendant.rpc.tei.stream import in_order

MODEL_KEY = "model"
"""Of a call's metadata."""

Q = TypeVar("Q", contravariant=True)
R = TypeVar("R", bound=Message)
M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)


class Kind(Protocol[Q, R]):
    """What answers one request; see :class:`attendant.rpc.tei.calls.Calls`."""

    def __call__(self, request: Q, model: str, context: CallContext, *, patient: bool = False) -> Awaitable[Answer[R]]:
        """The answer. Raises AttendantError."""


def add_to(server: Any, front_end: FrontEnd) -> None:
    """Register all services with a gRPC server that has not started."""
    calls = Calls(front_end.encoding, front_end.tokenizer)
    tei_pb2_grpc.add_InfoServicer_to_server(InfoServicer(front_end), server)  # type: ignore[no-untyped-call]
    tei_pb2_grpc.add_EmbedServicer_to_server(EmbedServicer(calls), server)  # type: ignore[no-untyped-call]
    tei_pb2_grpc.add_PredictServicer_to_server(PredictServicer(calls), server)  # type: ignore[no-untyped-call]
    tei_pb2_grpc.add_RerankServicer_to_server(RerankServicer(calls), server)  # type: ignore[no-untyped-call]
    tei_pb2_grpc.add_TokenizeServicer_to_server(TokenizeServicer(calls), server)  # type: ignore[no-untyped-call]


class InfoServicer(tei_pb2_grpc.InfoServicer):
    """tei.v1.Info."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end

    async def Info(self, request: pb.InfoRequest, context: Any) -> pb.InfoResponse:  # noqa: N802
        """What one model is."""
        return info_of(self._front_end, model_of(context))


class EmbedServicer(tei_pb2_grpc.EmbedServicer):
    """tei.v1.Embed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:  # noqa: N802
        """A vector."""
        return await _one(self._calls.embed, request, context)

    async def EmbedStream(  # noqa: N802
        self, requests: AsyncIterator[pb.EmbedRequest], context: Any
    ) -> AsyncIterator[pb.EmbedResponse]:
        """Vectors, in order."""
        async with aclosing(_many(self._calls.embed, requests, context)) as responses:
            async for response in responses:
                yield response

    async def EmbedSparse(self, request: pb.EmbedSparseRequest, context: Any) -> pb.EmbedSparseResponse:  # noqa: N802
        """A sparse vector."""
        return await _one(self._calls.embed_sparse, request, context)

    async def EmbedSparseStream(  # noqa: N802
        self, requests: AsyncIterator[pb.EmbedSparseRequest], context: Any
    ) -> AsyncIterator[pb.EmbedSparseResponse]:
        """Sparse vectors, in order."""
        async with aclosing(_many(self._calls.embed_sparse, requests, context)) as responses:
            async for response in responses:
                yield response

    async def EmbedAll(self, request: pb.EmbedAllRequest, context: Any) -> pb.EmbedAllResponse:  # noqa: N802
        """A vector of each token."""
        return await _one(self._calls.embed_all, request, context)

    async def EmbedAllStream(  # noqa: N802
        self, requests: AsyncIterator[pb.EmbedAllRequest], context: Any
    ) -> AsyncIterator[pb.EmbedAllResponse]:
        """The vectors of each text's tokens, in order."""
        async with aclosing(_many(self._calls.embed_all, requests, context)) as responses:
            async for response in responses:
                yield response


class PredictServicer(tei_pb2_grpc.PredictServicer):
    """tei.v1.Predict."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:  # noqa: N802
        """Labels of a text."""
        return await _one(self._calls.predict, request, context)

    async def PredictStream(  # noqa: N802
        self, requests: AsyncIterator[pb.PredictRequest], context: Any
    ) -> AsyncIterator[pb.PredictResponse]:
        """Labels of texts, in order."""
        async with aclosing(_many(self._calls.predict, requests, context)) as responses:
            async for response in responses:
                yield response

    async def PredictPair(self, request: pb.PredictPairRequest, context: Any) -> pb.PredictResponse:  # noqa: N802
        """Labels of two texts."""
        return await _one(self._calls.predict_pair, request, context)

    async def PredictPairStream(  # noqa: N802
        self, requests: AsyncIterator[pb.PredictPairRequest], context: Any
    ) -> AsyncIterator[pb.PredictResponse]:
        """Labels of pairs, in order."""
        async with aclosing(_many(self._calls.predict_pair, requests, context)) as responses:
            async for response in responses:
                yield response


class TokenizeServicer(tei_pb2_grpc.TokenizeServicer):
    """tei.v1.Tokenize."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Tokenize(self, request: pb.EncodeRequest, context: Any) -> pb.EncodeResponse:  # noqa: N802
        """Tokens of a text."""
        return await _one(self._calls.tokenize, request, context)

    async def TokenizeStream(  # noqa: N802
        self, requests: AsyncIterator[pb.EncodeRequest], context: Any
    ) -> AsyncIterator[pb.EncodeResponse]:
        """Tokens of texts, in order."""
        async with aclosing(_many(self._calls.tokenize, requests, context)) as responses:
            async for response in responses:
                yield response

    async def Decode(self, request: pb.DecodeRequest, context: Any) -> pb.DecodeResponse:  # noqa: N802
        """The text of tokens."""
        return await _one(self._calls.decode, request, context)

    async def DecodeStream(  # noqa: N802
        self, requests: AsyncIterator[pb.DecodeRequest], context: Any
    ) -> AsyncIterator[pb.DecodeResponse]:
        """Texts, in order."""
        async with aclosing(_many(self._calls.decode, requests, context)) as responses:
            async for response in responses:
                yield response


class RerankServicer(tei_pb2_grpc.RerankServicer):
    """tei.v1.Rerank."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:  # noqa: N802
        """Texts in order."""
        return await _tell(await self._calls.rerank(request, model_of(context), of_this_call()), context)

    async def RerankStream(  # noqa: N802
        self, requests: AsyncIterator[pb.RerankStreamRequest], context: Any
    ) -> pb.RerankResponse:
        """One ranking of all texts of the stream."""
        return await _tell(await Ranking(self._calls, model_of(context)).of(requests, of_this_call()), context)


def model_of(context: Any) -> str:
    """The model that a call's metadata names; empty if it names none.

    Raises:
        InvalidRequest: it names several.
    """
    named = [value for key, value in context.invocation_metadata() or () if key == MODEL_KEY]
    if len(set(named)) > 1:
        raise InvalidRequest(MODEL_KEY, f"stands in the metadata {len(named)} times; allowed: once")
    return str(named[0]) if named else ""


async def _one(kind: Kind[M, N], request: M, context: Any) -> N:
    return await _tell(await kind(request, model_of(context), of_this_call()), context)


async def _many(kind: Kind[M, N], requests: AsyncIterator[M], context: Any) -> AsyncGenerator[N, None]:
    model = model_of(context)

    async def reply(request: M, call: CallContext) -> N:
        return (await kind(request, model, call, patient=True)).message

    async with aclosing(in_order(requests, reply)) as responses:
        async for response in responses:
            yield response


async def _tell(answer: Answer[N], context: Any) -> N:
    """Send what the call took ahead of the response, where TEI's clients look for it, and once more behind it."""
    if answer.usage is not None:
        metadata: pb.Metadata = answer.message.metadata  # type: ignore[attr-defined]
        said = told(metadata, on_gpu=answer.usage.on_gpu)
        context.set_trailing_metadata((*context.trailing_metadata(), *said))
        await context.send_initial_metadata(said)
    return answer.message
