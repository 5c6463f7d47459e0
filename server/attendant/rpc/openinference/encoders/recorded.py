"""Calls on encoders as attendant.v1 would have asked them: what is kept of a call that came as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1.generation_pb2 import TokenIds

from attendant.frontend.encoding import calls
from attendant.rpc.convert_encoding import AGGREGATIONS

_INPUTS = ("inputs", "texts", "documents", "images")
_KINDS: dict[type[calls.Call], Callable[..., Any]] = {
    calls.EmbedCall: pb.EmbedRequest,
    calls.ClassifyCall: pb.ClassifyRequest,
    calls.ClassifyTokensCall: pb.ClassifyTokensRequest,
    calls.AnswerCall: pb.AnswerRequest,
    calls.RerankCall: pb.RerankRequest,
    calls.FillMaskCall: pb.FillMaskRequest,
    calls.ClassifyImageCall: pb.ClassifyImageRequest,
    calls.EmbedImageCall: pb.EmbedImageRequest,
    calls.ClassifyAudioCall: pb.ClassifyAudioRequest,
    calls.TranscribeCall: pb.TranscribeRequest,
}


def typed_request(call: Any) -> Any | None:
    """The request of attendant.v1 that asks for the same; None if there is none: of types of given tokens, or of
    pixel values."""
    kind = _KINDS.get(type(call))
    if kind is None:
        return None
    given: dict[str, Any] = {}
    for field in fields(call):
        value = getattr(call, field.name)
        if field.name in _INPUTS:
            given[field.name] = _inputs(value)
            if given[field.name] is None:
                return None
        elif field.name == "aggregation":
            given[field.name] = next(number for number, each in AGGREGATIONS.items() if number and each is value)
        elif field.name != "patient" and value is not None:
            given[field.name] = value
    return kind(**given)


def _inputs(values: Sequence[Any]) -> list[Any] | None:
    found = [_input(value) for value in values]
    return None if any(each is None for each in found) else found


def _input(value: Any) -> Any | None:
    match value:
        case str() | bytes():
            return value
        case calls.TextItem(token_ids=None):
            return pb.TextInput(text=value.text, pair=value.pair)
        case calls.TextItem(type_ids=None):
            return pb.TextInput(token_ids=TokenIds(ids=value.token_ids))
        case calls.Question():
            return pb.AnswerRequest.Input(question=value.question, context=value.context)
        case calls.Audio(is_wav=True):
            return pb.AudioInput(wav=value.data)
        case calls.Audio():
            return pb.AudioInput(samples=value.data, sampling_rate=value.sampling_rate)
    return None
