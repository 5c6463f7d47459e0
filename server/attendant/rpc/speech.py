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
from attendant.rpc.recording import CallRecording, StreamRecording
from attendant.traffic.recorder import Recorder


class SpeechServicer(speech_pb2_grpc.SpeechServicer):
    """attendant.v1.Speech. ``recorder``: keeps some of the calls."""

    def __init__(self, service: SpeechService, recorder: Recorder | None = None) -> None:
        self._service = service
        self._recorder = recorder

    async def Transcribe(self, request: pb.SpeechRequest, context: Any) -> pb.SpeechResponse:  # noqa: N802
        """All of a recording."""
        recording = CallRecording.begin(self._recorder, request)
        call = convert.speech_call(request.options)
        result = await self._service.transcribe(call, convert.sound(request), of_this_call())
        response = convert.speech_response(result)
        return response if recording is None else recording.whole(response)

    async def StreamTranscribe(  # noqa: N802
        self, requests: AsyncIterator[pb.SpeechStreamRequest], context: Any
    ) -> AsyncIterator[pb.SpeechStreamResponse]:
        """Segments as they are final, and text that may change. Closing the stream closes the front end's."""
        incoming = aiter(requests)
        options = convert.stream_options(await anext(incoming, None))
        recording = StreamRecording.begin(self._recorder, options)
        call = convert.speech_call(options)
        pieces = _pieces(incoming, recording)
        async with aclosing(pieces), aclosing(self._service.stream(call, pieces, of_this_call())) as parts:
            async for part in parts:
                response = convert.stream_response(part)
                yield response if recording is None else recording.passes(response)


async def _pieces(
    requests: AsyncIterator[pb.SpeechStreamRequest], recording: StreamRecording | None
) -> AsyncGenerator[RawSound, None]:
    async for request in requests:
        if recording is not None:
            recording.heard(request.raw)
        yield convert.stream_sound(request)
