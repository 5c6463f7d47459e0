"""A line of a file of calls: what it holds, and what is said of one that is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attendant.traffic.calls import KINDS, BadLine, KeptCall, ask_for_receipt, asks_for_receipt
from attendant_proto.v1 import encoding_pb2, generation_pb2, speech_pb2
from attendant_proto.v1.receipt_pb2 import Receipt
from hypothesis import given
from hypothesis import strategies as st

LINE = (
    '{"format": 1, "call": "generate", "at": "2026-01-02T03:04:05.678+00:00", "request": {"model": "m", "text": "é", '
    '"sampling": {"seed": "18446744073709551615"}, "receipt": true}, "answer": [{"text": "a b", "token_ids": [1, 2], '
    '"finish": {"reason": "FINISH_REASON_STOP", "receipt": {"call": "generate", "seed": "7", "digest": "d"}}}]}'
)


def test_a_golden_line() -> None:
    call = KeptCall.parse(LINE)
    assert call.request.sampling.seed == 2**64 - 1
    assert call.request.text == "é"
    (response,) = call.responses
    assert list(response.token_ids) == [1, 2]
    assert call.receipts == (Receipt(call="generate", seed=7, digest="d"),)
    assert call.line() == LINE


def test_pieces_of_a_stream_become_one_response_for_each_sequence() -> None:
    pieces = [
        generation_pb2.GenerateResponse(index=1, text="x", token_ids=[5]),
        generation_pb2.GenerateResponse(index=0, text="a", token_ids=[1, 2]),
        generation_pb2.GenerateResponse(index=0, text="b", token_ids=[3]),
        generation_pb2.GenerateResponse(index=1, finish=generation_pb2.Finish(reason="FINISH_REASON_LENGTH")),
        generation_pb2.GenerateResponse(index=0, finish=generation_pb2.Finish(reason="FINISH_REASON_STOP")),
    ]
    first, second = KeptCall.of(generation_pb2.GenerateRequest(n=2), pieces).responses
    assert (first.index, first.text, list(first.token_ids)) == (0, "ab", [1, 2, 3])
    assert (second.index, second.text, list(second.token_ids)) == (1, "x", [5])
    assert first.finish.reason == generation_pb2.FINISH_REASON_STOP


# The shortest form of the largest number is above it, which protobuf does not read back; no vector has it.
NUMBERS = st.floats(-(2.0**127), 2.0**127, width=32)


@given(st.lists(NUMBERS, min_size=1))
def test_vectors_come_back_to_the_bit(values: list[float]) -> None:
    response = encoding_pb2.EmbedResponse(embeddings=[encoding_pb2.Embedding(values=values)])
    again = KeptCall.parse(KeptCall.of(encoding_pb2.EmbedRequest(), [response]).line())
    found = np.array(again.responses[0].embeddings[0].values, np.float32)
    assert found.tobytes() == np.array(values, np.float32).tobytes()


def test_every_call_comes_back() -> None:
    for name, kind in KINDS.items():
        request = kind.request()
        assert not asks_for_receipt(request)
        ask_for_receipt(request)
        assert asks_for_receipt(request)
        call = KeptCall(name, request, (kind.response(),), "now")
        assert KeptCall.parse(call.line()) == call


def test_files_of_sound_are_kept() -> None:
    request = speech_pb2.SpeechRequest(file=bytes(range(256)))
    assert KeptCall.parse(KeptCall.of(request, [speech_pb2.SpeechResponse()]).line()).request == request


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "format is 2; allowed: 1"),
        ({"call": "sing"}, "call is 'sing'; allowed: generate, embed"),
        ({"call": ["generate"]}, r"call is \['generate'\]; allowed"),
        ({"answer": []}, "answer is missing"),
        ({"request": None}, "request is missing; allowed: a GenerateRequest as JSON"),
        ({"request": {"txt": "a"}}, "request is no GenerateRequest: .*txt"),
        ({"answer": [{"token_ids": ["x"]}]}, r"answer\[0\] is no GenerateResponse"),
    ],
)
def test_lines_that_are_none_say_why(change: dict[str, object], told: str) -> None:
    with pytest.raises(BadLine, match=told):
        KeptCall.parse(json.dumps({**json.loads(LINE), **change}))


@pytest.mark.parametrize(
    ("line", "told"), [("{", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[]", "is no JSON object")]
)
def test_what_is_no_object_says_so(line: str, told: str) -> None:
    with pytest.raises(BadLine, match=told):
        KeptCall.parse(line)
