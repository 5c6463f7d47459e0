"""One call that is kept, with its answer: a line of JSON, in the words of the wire. docs/replay.md has the form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from attendant_proto.v1 import encoding_pb2, generation_pb2, receipt_pb2, speech_pb2
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

FORMAT = 1
"""Version of the form of a line."""


class BadLine(ValueError):
    """A line that is not a call that was kept; says why."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The messages of a call."""

    request: type[Any]
    response: type[Any]


KINDS: Mapping[str, Kind] = {
    "generate": Kind(generation_pb2.GenerateRequest, generation_pb2.GenerateResponse),
    "embed": Kind(encoding_pb2.EmbedRequest, encoding_pb2.EmbedResponse),
    "classify": Kind(encoding_pb2.ClassifyRequest, encoding_pb2.ClassifyResponse),
    "classify_tokens": Kind(encoding_pb2.ClassifyTokensRequest, encoding_pb2.ClassifyTokensResponse),
    "answer": Kind(encoding_pb2.AnswerRequest, encoding_pb2.AnswerResponse),
    "rerank": Kind(encoding_pb2.RerankRequest, encoding_pb2.RerankResponse),
    "fill_mask": Kind(encoding_pb2.FillMaskRequest, encoding_pb2.FillMaskResponse),
    "classify_image": Kind(encoding_pb2.ClassifyImageRequest, encoding_pb2.ClassifyResponse),
    "embed_image": Kind(encoding_pb2.EmbedImageRequest, encoding_pb2.EmbedResponse),
    "classify_audio": Kind(encoding_pb2.ClassifyAudioRequest, encoding_pb2.ClassifyResponse),
    "transcribe": Kind(encoding_pb2.TranscribeRequest, encoding_pb2.TranscribeResponse),
    "speech": Kind(speech_pb2.SpeechRequest, speech_pb2.SpeechResponse),
}
"""By the name of the call, as receipts have it."""

_NAMES = {kind.request: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class KeptCall:
    """A call and its answer.

    Attributes:
        call: its name, see :data:`KINDS`.
        responses: of Generate one for each sequence, with all of its text and tokens; of other calls one.
        at: when it was kept, as ISO 8601 has it.
    """

    call: str
    request: Any
    responses: tuple[Any, ...]
    at: str = ""

    @classmethod
    def of(cls, request: Message, responses: Iterable[Message]) -> KeptCall:
        """A call that has just been answered. Pieces of one sequence become one response."""
        call = _NAMES[type(request)]
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls(call, request, _joined(responses) if call == "generate" else tuple(responses), now)

    @property
    def receipts(self) -> tuple[receipt_pb2.Receipt, ...]:
        """The receipts of its responses, empty where one has none."""
        of_finish = self.call == "generate"
        return tuple(each.finish.receipt if of_finish else each.receipt for each in self.responses)

    def line(self) -> str:
        """The call as a line of JSON, without its end."""
        answer = [MessageToDict(each, preserving_proto_field_name=True) for each in self.responses]
        request = MessageToDict(self.request, preserving_proto_field_name=True)
        values = {"format": FORMAT, "call": self.call, "at": self.at, "request": request, "answer": answer}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def parse(cls, line: str) -> KeptCall:
        """What a line says.

        Raises:
            BadLine: it is no call that was kept; says what is wrong and what is allowed.
        """
        values = _object(line)
        if (found := values.get("format")) != FORMAT:
            raise BadLine(f"format is {found!r}; allowed: {FORMAT}")
        call = values.get("call")
        if not isinstance(call, str) or call not in KINDS:
            raise BadLine(f"call is {call!r}; allowed: {', '.join(KINDS)}")
        kind, answer = KINDS[call], values.get("answer")
        if not isinstance(answer, list) or not answer:
            raise BadLine("answer is missing; allowed: a list of at least one response")
        request = _message(kind.request, values.get("request"), "request")
        responses = tuple(_message(kind.response, each, f"answer[{index}]") for index, each in enumerate(answer))
        return cls(call, request, responses, str(values.get("at", "")))


def ask_for_receipt(request: Any) -> None:
    """Let the request ask for a receipt, wherever its message has that."""
    place = request.options if isinstance(request, speech_pb2.SpeechRequest) else request
    place.receipt = True


def asks_for_receipt(request: Any) -> bool:
    """Whether it does."""
    place = request.options if isinstance(request, speech_pb2.SpeechRequest) else request
    return bool(place.receipt)


def _joined(responses: Iterable[Any]) -> tuple[Any, ...]:
    """One response for each sequence, in order."""
    sequences: dict[int, Any] = {}
    texts: dict[int, list[str]] = {}
    for response in responses:
        whole = sequences.setdefault(response.index, generation_pb2.GenerateResponse(index=response.index))
        texts.setdefault(response.index, []).append(response.text)
        whole.token_ids.extend(response.token_ids)
        whole.logprobs.extend(response.logprobs)
        if response.HasField("finish"):
            whole.finish.CopyFrom(response.finish)
    for index, whole in sequences.items():
        whole.text = "".join(texts[index])
    return tuple(sequences[index] for index in sorted(sequences))


def _object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadLine("is no JSON object")
    return values


def _message(kind: type[Any], values: Any, name: str) -> Any:
    if not isinstance(values, dict):
        raise BadLine(f"{name} is missing; allowed: a {kind.DESCRIPTOR.name} as JSON")
    try:
        return ParseDict(values, kind())
    except ParseError as error:
        raise BadLine(f"{name} is no {kind.DESCRIPTOR.name}: {error}") from None
