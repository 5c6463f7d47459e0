"""One call on its way to the file of calls: its answer is taken down with a receipt, whoever asked for one."""

from __future__ import annotations

from typing import Any

from attendant_proto.v1 import speech_pb2

from attendant.traffic.calls import ask_for_receipt, asks_for_receipt
from attendant.traffic.recorder import MAX_WAITING_BYTES, Recorder


class CallRecording:
    """The recording of one call. A call that fails, or that its caller gives up, is not kept."""

    def __init__(self, recorder: Recorder, request: Any) -> None:
        self._recorder = recorder
        self._request = request
        self._asked = asks_for_receipt(request)
        self._responses: list[Any] = []
        ask_for_receipt(request)

    @classmethod
    def begin(cls, recorder: Recorder | None, request: Any) -> CallRecording | None:
        """The recording of a call that comes now; None if it is not to be kept. The request then asks for a receipt."""
        return cls(recorder, request) if recorder is not None and recorder.wants() else None

    def passes(self, response: Any) -> Any:
        """Take a response down. Returns it as the caller gets it."""
        self._responses.append(response)
        place = response.finish if "finish" in response.DESCRIPTOR.fields_by_name else response
        if self._asked or not place.HasField("receipt"):
            return response
        bare = type(response)()
        bare.CopyFrom(response)
        (bare.finish if place is not response else bare).ClearField("receipt")
        return bare

    def ended(self) -> None:
        """The call has been answered."""
        self._recorder.keep(self._request, self._responses)

    def whole(self, response: Any) -> Any:
        """The only response of a call, as the caller gets it."""
        passed = self.passes(response)
        self.ended()
        return passed


class StreamRecording:
    """The recording of sound that comes in pieces: it is kept as one recording.

    Args:
        options: of the stream, which asks for a receipt from now on.
    """

    def __init__(self, recorder: Recorder, options: speech_pb2.SpeechOptions) -> None:
        self._recorder = recorder
        self._sound = bytearray()
        self._rate = 0
        self._request = speech_pb2.SpeechRequest(options=options)
        self._call = CallRecording(recorder, self._request)
        options.receipt = True

    @classmethod
    def begin(cls, recorder: Recorder | None, options: speech_pb2.SpeechOptions) -> StreamRecording | None:
        """See :meth:`CallRecording.begin`."""
        return cls(recorder, options) if recorder is not None and recorder.wants() else None

    def heard(self, raw: speech_pb2.RawAudio) -> None:
        """Take a piece of sound down."""
        self._rate = raw.sampling_rate
        if len(self._sound) <= MAX_WAITING_BYTES:
            self._sound += raw.pcm16

    def passes(self, response: speech_pb2.SpeechStreamResponse) -> speech_pb2.SpeechStreamResponse:
        """Take a response down, if it is the last one. Returns it as the caller gets it."""
        if response.WhichOneof("content") != "finish":
            return response
        passed = speech_pb2.SpeechStreamResponse(finish=self._call.passes(response.finish))
        if len(self._sound) > MAX_WAITING_BYTES:
            self._recorder.too_large()
        else:
            self._request.raw.CopyFrom(speech_pb2.RawAudio(pcm16=bytes(self._sound), sampling_rate=self._rate))
            self._call.ended()
        return passed
