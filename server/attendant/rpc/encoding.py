"""attendant.v1.Encoding: one short method for each call, and a stream that carries calls of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import Encoded
from attendant.frontend.encoding.service import EncodingService
from attendant.rpc import convert_encoding as convert
from attendant.rpc.context import of_this_call
from attendant.rpc.convert_receipt import seal
from attendant.rpc.recording import CallRecording
from attendant.rpc.sizes import LARGE_REQUEST, MANY_RESULTS, num_fills, num_parts
from attendant.rpc.stream import replies
from attendant.traffic.recorder import Recorder

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Kind(Generic[C, T, R]):
    """One kind of call: its way in, its work, its way out, and its field in a stream's response."""

    read: Callable[[Any], C]
    run: Callable[[C, CallContext], Awaitable[Encoded[T]]]
    write: Callable[[Encoded[T]], R]
    field: str
    size: Callable[[Sequence[T]], int] = len

    async def reply(self, request: Any, context: CallContext) -> R:
        """The response. Raises AttendantError."""
        large = request.ByteSize() > LARGE_REQUEST
        call = await asyncio.to_thread(self.read, request) if large else self.read(request)
        encoded = await self.run(call, context)
        many = self.size(encoded.results) > MANY_RESULTS
        return await asyncio.to_thread(self._response, encoded) if many else self._response(encoded)

    def _response(self, encoded: Encoded[T]) -> R:
        response = self.write(encoded)
        seal(response, encoded.receipt)
        return response


class EncodingServicer(encoding_pb2_grpc.EncodingServicer):
    """attendant.v1.Encoding. ``recorder``: keeps some of the calls."""

    def __init__(self, service: EncodingService, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        vectors, labels = convert.embed_response, convert.classify_response
        self._embed = _Kind(convert.embed_call, service.embed, vectors, "embed")
        self._classify = _Kind(convert.classify_call, service.classify, labels, "classify")
        self._classify_tokens = _Kind(
            convert.classify_tokens_call,
            service.classify_tokens,
            convert.classify_tokens_response,
            "classify_tokens",
            num_parts,
        )
        self._answer = _Kind(convert.answer_call, service.answer, convert.answer_response, "answer", num_parts)
        self._rerank = _Kind(convert.rerank_call, service.rerank, convert.rerank_response, "rerank")
        self._fill_mask = _Kind(
            convert.fill_mask_call, service.fill_mask, convert.fill_mask_response, "fill_mask", num_fills
        )
        self._classify_image = _Kind(convert.classify_image_call, service.classify_image, labels, "classify")
        self._embed_image = _Kind(convert.embed_image_call, service.embed_image, vectors, "embed")
        self._classify_audio = _Kind(convert.classify_audio_call, service.classify_audio, labels, "classify")
        self._transcribe = _Kind(convert.transcribe_call, service.transcribe, convert.transcribe_response, "transcribe")
        self._kinds: Mapping[str, _Kind[Any, Any, Any]] = {
            "embed": self._embed,
            "classify": self._classify,
            "classify_tokens": self._classify_tokens,
            "answer": self._answer,
            "rerank": self._rerank,
            "fill_mask": self._fill_mask,
            "classify_image": self._classify_image,
            "embed_image": self._embed_image,
            "classify_audio": self._classify_audio,
            "transcribe": self._transcribe,
        }

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:  # noqa: N802
        """Vectors of texts."""
        return await self._reply(self._embed, request, of_this_call())

    async def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:  # noqa: N802
        """Labels of texts."""
        return await self._reply(self._classify, request, of_this_call())

    async def ClassifyTokens(  # noqa: N802
        self, request: pb.ClassifyTokensRequest, context: Any
    ) -> pb.ClassifyTokensResponse:
        """Labelled spans of texts."""
        return await self._reply(self._classify_tokens, request, of_this_call())

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> pb.AnswerResponse:  # noqa: N802
        """Answers found in texts."""
        return await self._reply(self._answer, request, of_this_call())

    async def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:  # noqa: N802
        """Documents in order."""
        return await self._reply(self._rerank, request, of_this_call())

    async def FillMask(self, request: pb.FillMaskRequest, context: Any) -> pb.FillMaskResponse:  # noqa: N802
        """Tokens for masks."""
        return await self._reply(self._fill_mask, request, of_this_call())

    async def ClassifyImage(self, request: pb.ClassifyImageRequest, context: Any) -> pb.ClassifyResponse:  # noqa: N802
        """Labels of images."""
        return await self._reply(self._classify_image, request, of_this_call())

    async def EmbedImage(self, request: pb.EmbedImageRequest, context: Any) -> pb.EmbedResponse:  # noqa: N802
        """Vectors of images."""
        return await self._reply(self._embed_image, request, of_this_call())

    async def ClassifyAudio(self, request: pb.ClassifyAudioRequest, context: Any) -> pb.ClassifyResponse:  # noqa: N802
        """Labels of recordings."""
        return await self._reply(self._classify_audio, request, of_this_call())

    async def Transcribe(self, request: pb.TranscribeRequest, context: Any) -> pb.TranscribeResponse:  # noqa: N802
        """Words of recordings."""
        return await self._reply(self._transcribe, request, of_this_call())

    async def Stream(  # noqa: N802
        self, requests: AsyncIterator[pb.EncodingRequest], context: Any
    ) -> AsyncIterator[pb.EncodingResponse]:
        """Calls of any kind, each answered when it is ready. Closing the stream cancels those that run."""

        async def reply(request: pb.EncodingRequest) -> pb.EncodingResponse:
            kind = self._kinds.get(request.WhichOneof("call") or "")
            if kind is None:
                raise InvalidRequest("call", f"is missing; allowed: one of {', '.join(self._kinds)}")
            call = getattr(request, request.WhichOneof("call"))
            response = await self._reply(kind, call, of_this_call())
            return pb.EncodingResponse(id=request.id, **{kind.field: response})

        async with aclosing(replies(requests, reply)) as responses:
            async for response in responses:
                yield response

    async def _reply(self, kind: _Kind[C, T, R], request: Any, context: CallContext) -> R:
        recording = CallRecording.begin(self._recorder, request)
        response = await kind.reply(request, context)
        return response if recording is None else cast("R", recording.whole(response))
