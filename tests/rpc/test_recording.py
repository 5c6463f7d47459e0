"""What is recorded of a call, and that its caller gets what it would get otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.rpc.recording import CallRecording, StreamRecording
from attendant.traffic.calls import KeptCall
from attendant_proto.v1 import encoding_pb2, generation_pb2, speech_pb2
from attendant_proto.v1.receipt_pb2 import Receipt

RECEIPT = Receipt(call="x", digest="d")


class Kept:
    """A recorder that wants everything."""

    def __init__(self, share: float = 1.0) -> None:
        self.calls: list[KeptCall] = []
        self._share = share

    def wants(self) -> bool:
        return self._share > 0

    def keep(self, request: Any, responses: list[Any]) -> None:
        self.calls.append(KeptCall.of(request, responses))


def generate_response(receipt: Receipt | None) -> generation_pb2.GenerateResponse:
    return generation_pb2.GenerateResponse(finish=generation_pb2.Finish(receipt=receipt))


@pytest.mark.parametrize("asked", [False, True])
def test_a_receipt_is_recorded_and_goes_to_who_asked(asked: bool) -> None:
    kept: Any = Kept()
    request = generation_pb2.GenerateRequest(text="a", receipt=asked)
    recording = CallRecording.begin(kept, request)
    assert recording is not None
    assert request.receipt, "the front end makes one"
    piece = generation_pb2.GenerateResponse(text="b", token_ids=[3])
    assert recording.passes(piece) is piece
    passed = recording.passes(generate_response(RECEIPT))
    assert passed == generate_response(RECEIPT if asked else None)
    assert kept.calls == []
    recording.ended()
    (call,) = kept.calls
    assert call.receipts == (RECEIPT,)
    assert call.responses[0].text == "b"


@pytest.mark.parametrize("asked", [False, True])
def test_unary_calls_too(asked: bool) -> None:
    kept: Any = Kept()
    request = encoding_pb2.EmbedRequest(receipt=asked)
    recording = CallRecording.begin(kept, request)
    assert recording is not None
    passed = recording.whole(encoding_pb2.EmbedResponse(receipt=RECEIPT))
    assert passed.HasField("receipt") == asked
    assert kept.calls[0].receipts == (RECEIPT,)


def test_calls_that_are_not_wanted_are_left_alone() -> None:
    nobody: Any = Kept(share=0)
    request = generation_pb2.GenerateRequest()
    assert CallRecording.begin(nobody, request) is None
    assert CallRecording.begin(None, request) is None
    assert not request.receipt


@pytest.mark.parametrize("asked", [False, True])
def test_sound_in_pieces_is_recorded_as_one_recording(asked: bool) -> None:
    kept: Any = Kept()
    options = speech_pb2.SpeechOptions(language="en", receipt=asked)
    recording = StreamRecording.begin(kept, options)
    assert recording is not None
    assert options.receipt
    for piece in (b"ab", b"cd"):
        recording.heard(speech_pb2.RawAudio(pcm16=piece, sampling_rate=8000))
    partial = speech_pb2.SpeechStreamResponse(partial="so far")
    assert recording.passes(partial) is partial
    finish = speech_pb2.SpeechResponse(text="all", receipt=RECEIPT)
    passed = recording.passes(speech_pb2.SpeechStreamResponse(finish=finish))
    assert passed.finish.text == "all"
    assert passed.finish.HasField("receipt") == asked
    (call,) = kept.calls
    assert call.request.raw == speech_pb2.RawAudio(pcm16=b"abcd", sampling_rate=8000)
    assert call.request.options.language == "en"
    assert call.responses == (finish,)
