"""Models that write what they hear, as tensors: a recording in, its text out, at once or segment by segment."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from attendant_proto.v1 import generation_pb2
from attendant_proto.v1 import speech_pb2 as pb
from google.protobuf.json_format import MessageToDict

from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.speech.calls import Segment, SoundData, SpeechResult
from attendant.models.info import ModelInfo
from attendant.rpc import convert_speech as convert
from attendant.rpc.openinference.contents import objects
from attendant.rpc.openinference.generated import as_json
from attendant.rpc.openinference.ports import InferAnswer, InferCall, Port, Tensor, TensorSpec
from attendant.rpc.openinference.said import SAMPLING_PARAMETERS, Said, check_known, everything_said, fields_of, put
from attendant.rpc.openinference.single import element, field_of, flag, stream_wanted
from attendant.rpc.recording import CallRecording
from attendant.traffic.recorder import Recorder

AUDIO, SAMPLES, RATE, STREAM, RETURN_FINISH = "audio", "samples", "sampling_rate", "stream", "return_finish"
TEXT, SEGMENTS, LANGUAGE, FINISH = "text_output", "segments", "language", "finish"

_INPUTS = (
    TensorSpec(AUDIO, "BYTES", (1,), optional=True),
    TensorSpec(SAMPLES, "FP32", (-1,), optional=True),
    TensorSpec(RATE, "INT32", (1,), optional=True, also=("INT64", "UINT32")),
    TensorSpec(STREAM, "BOOL", (1,), optional=True),
    TensorSpec(SAMPLING_PARAMETERS, "BYTES", (1,), optional=True),
    TensorSpec(RETURN_FINISH, "BOOL", (1,), optional=True),
)
_OUTPUTS = (
    TensorSpec(TEXT, "BYTES", (1,)),
    TensorSpec(SEGMENTS, "BYTES", (1,)),
    TensorSpec(LANGUAGE, "BYTES", (1,)),
    TensorSpec(FINISH, "BYTES", (1,)),
)
_BESIDE = ("model", "sampling")
_PLACES: Mapping[str, str] = MappingProxyType(
    {
        **{field.name: "sampling" for field in generation_pb2.Sampling.DESCRIPTOR.fields},
        **{field.name: "" for field in pb.SpeechOptions.DESCRIPTOR.fields if field.name not in _BESIDE},
    }
)
"""Parameters, and the part of SpeechOptions that has them."""
_TASKS = {name.removeprefix("TASK_").lower(): number for name, number in pb.SpeechOptions.Task.items()}
_LEAST_RATE, _MOST_RATE = 1, 2**31 - 1


def speech_ports(info: ModelInfo, front_end: FrontEnd, recorder: Recorder | None = None) -> Iterable[tuple[str, Port]]:
    """The port of a model that writes what it hears; none of another one. ``recorder``: keeps some of the calls."""
    if info.generation is not None and info.generation.manifest.speech is not None:
        yield "speech", SpeechPort(front_end, recorder)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read. ``fields``: where it says what errors speak of, by the name that they have for it."""

    message: pb.SpeechRequest
    stream: bool
    fields: Mapping[str, str]

    def named(self, error: AttendantError) -> AttendantError:
        """The error as the caller knows its field."""
        if not isinstance(error, InvalidRequest):
            return error
        found = re.match(r"(?:options\.)?(?:sampling\.)?(\w+)", error.field)
        field = self.fields.get(found[1]) if found is not None else None
        return (
            error
            if found is None or field is None
            else InvalidRequest(field + error.field[found.end() :], error.reason)
        )


class SpeechPort:
    """A model that writes what it hears: a recording in, a text out, at once or segment by segment."""

    decoupled = True
    inputs = _INPUTS
    outputs = _OUTPUTS

    def __init__(self, front_end: FrontEnd, recorder: Recorder | None = None) -> None:
        self._service = front_end.speech
        self._recorder = recorder

    async def answer(self, call: InferCall, context: CallContext, *, alone: bool) -> AsyncGenerator[InferAnswer, None]:
        """See :class:`~attendant.rpc.openinference.ports.Port`: one response, or where ``stream`` is set one for each
        segment, and one at the end."""
        asked = read(call, alone=alone)
        finish = bool(flag(call, RETURN_FINISH)) or FINISH in call.outputs or asked.message.options.receipt
        if asked.message.options.receipt and call.outputs and FINISH not in call.outputs:
            raise InvalidRequest(asked.fields["receipt"], f"is true; allowed with the output {FINISH}, which has it")
        recording = CallRecording.begin(self._recorder, asked.message)
        try:
            heard = convert.speech_call(asked.message.options)
            sound = SoundData(asked.message.file)
            async with aclosing(self._service.stream(heard, sound, context)) as parts:
                async for part in parts:
                    match part:
                        case Segment() if asked.stream:
                            yield InferAnswer(_segment(part, finish=finish))
                        case SpeechResult():
                            response = convert.speech_response(part)
                            shown = response if recording is None else recording.passes(response)
                            yield InferAnswer(_result(shown, whole=not asked.stream, finish=finish), last=True)
        except AttendantError as error:
            raise asked.named(error) from error.__cause__
        if recording is not None:
            recording.ended()


def read(call: InferCall, *, alone: bool) -> Asked:
    """What a request asks for. ``alone``: one response is all that the caller can take.

    Raises:
        InvalidRequest: an input or a parameter that is wrong, unknown or missing.
        StreamNeeded: ``alone``, and the request asks for a stream.
    """
    said = everything_said(call)
    rate = said.pop(RATE, None)
    check_known(said, (*_PLACES, RATE))
    stream = stream_wanted(call, STREAM, alone=alone)
    message = pb.SpeechRequest(options=pb.SpeechOptions(model=call.model), file=_sound(call, rate))
    for name, each in said.items():
        if name == "task":
            message.options.task = _task(each)
        else:
            part = _PLACES[name]
            put(getattr(message.options, part) if part else message.options, name, each)
    return Asked(message, stream, fields_of(said) | {"model": "model_name", "file": field_of(_given(call))})


def _task(said: Said) -> Any:
    number = _TASKS.get(said.value.removeprefix("TASK_").lower()) if isinstance(said.value, str) else None
    if number is None:
        raise said.refusal(" or ".join(_TASKS))
    return number


def _given(call: InferCall) -> str:
    given = [name for name in (AUDIO, SAMPLES) if name in call.inputs]
    if len(given) != 1:
        beside = f"are {AUDIO} and {SAMPLES}" if given else f"have neither {AUDIO} nor {SAMPLES}"
        raise InvalidRequest("inputs", f"{beside}; allowed: one of both")
    return given[0]


def _sound(call: InferCall, said: Said | None) -> bytes:
    """The recording as a file."""
    given, rate = _given(call), _rate(call, said)
    if given == AUDIO:
        if rate is not None:
            raise InvalidRequest(field_of(RATE), f"is {rate}; allowed with {SAMPLES} only: a file says its own")
        file: bytes = element(call, AUDIO)
        return file
    if rate is None:
        raise InvalidRequest(field_of(RATE), f"is missing; allowed beside {SAMPLES}: their number in a second")
    samples = call.inputs[SAMPLES].values
    if not np.isfinite(samples).all():
        raise InvalidRequest(field_of(SAMPLES), "have one that is no number; allowed: numbers, usually from -1 to 1")
    return _wav(samples.astype("<f4", copy=False).tobytes(), rate)


def _rate(call: InferCall, said: Said | None) -> int | None:
    value = element(call, RATE)
    if said is not None:
        if value is not None:
            raise said.refusal(f"not beside the input {RATE}")
        value = said.value
    if value is None:
        return None
    digits = "" if isinstance(value, bool) else str(value)
    try:
        rate = int(digits) if digits.isascii() and digits.isdigit() else None
    except ValueError:  # more digits than Python reads
        rate = None
    if rate is None or not _LEAST_RATE <= rate <= _MOST_RATE:
        raise (said or Said(value, field_of(RATE))).refusal(f"{_LEAST_RATE} to {_MOST_RATE}")
    return rate


def _wav(samples: bytes, rate: int) -> bytes:
    """A WAV file of 32-bit floats of one channel."""
    ieee_float, width = 3, 4
    form = struct.pack("<HHIIHH", ieee_float, 1, rate, rate * width % 2**32, width, 8 * width)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _segment(part: Segment, *, finish: bool) -> Sequence[Tensor]:
    message = convert.stream_response(part).segment
    return _tensors(part.text, [_plain(message)], "", b"null" if finish else None)


def _result(response: pb.SpeechResponse, *, whole: bool, finish: bool) -> Sequence[Tensor]:
    segments = [_plain(segment) for segment in response.segments] if whole else []
    return _tensors(response.text if whole else "", segments, response.language, as_json(response) if finish else None)


def _plain(message: Any) -> dict[str, Any]:
    """A message with all of its fields."""
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def _tensors(text: str, segments: list[dict[str, Any]], language: str, finish: bytes | None) -> Sequence[Tensor]:
    found = {TEXT: text.encode(), SEGMENTS: json.dumps(segments).encode(), LANGUAGE: language.encode()}
    if finish is not None:
        found[FINISH] = finish
    return [Tensor(name, "BYTES", objects([value])) for name, value in found.items()]
