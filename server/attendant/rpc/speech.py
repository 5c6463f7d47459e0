"""attendant.v1.Speech: a recording, or sound as it is recorded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from attendant_proto.v1 import speech_pb2 as pb
from attendant_proto.v1 import speech_pb2_grpc

from attendant.frontend.speech.calls import RawSound
from attendant.frontend.speech.service import SpeechService
from attendant.rpc import convert_speech as convert
from attendant.rpc.context import of_this_call


class SpeechServicer(speech_pb2_grpc.SpeechServicer):
    """attendant.v1.Speech."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service

    async def Transcribe(self, request: pb.SpeechRequest, context: Any) -> pb.SpeechResponse:  # noqa: N802
        """All of a recording."""
        call = convert.speech_call(request.options)
        return convert.speech_response(await self._service.transcribe(call, convert.sound(request), of_this_call()))

    async def StreamTranscribe(  # noqa: N802
        self, requests: AsyncIterator[pb.SpeechStreamRequest], context: Any
    ) -> AsyncIterator[pb.SpeechStreamResponse]:
        """Segments as they are final, and text that may change. Closing the stream closes the front end's."""
        incoming = aiter(requests)
        options = convert.stream_options(await anext(incoming, None))
        call = convert.speech_call(options)
        pieces = _pieces(incoming)
        async with aclosing(pieces), aclosing(self._service.stream(call, pieces, of_this_call())) as parts:
            async for part in parts:
                yield convert.stream_response(part)


async def _pieces(requests: AsyncIterator[pb.SpeechStreamRequest]) -> AsyncGenerator[RawSound, None]:
    async for request in requests:
        yield convert.stream_sound(request)
