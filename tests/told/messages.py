"""A text in every place of every message of gRPC that takes one, and the rest of the message as it could be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tests.fuzz.messages import LIKELY
from tests.fuzz.surface import METHODS

Place = tuple[FieldDescriptor, ...]

MEANT: Mapping[str, Mapping[str, Any]] = {
    "attendant.v1.GenerateRequest": {"text": "hello", "stopping": {"maxTokens": 2}},
    "attendant.v1.ChatMessage": {"role": "user", "content": "hello"},
    "attendant.v1.Tool": {"name": "find"},
    "attendant.v1.ToolCall": {"name": "find", "arguments": "{}"},
    "attendant.v1.ToolChoice": {"mode": "MODE_NAMED"},
    "attendant.v1.Translation": {"sourceLanguage": "en", "targetLanguage": "fr"},
    "attendant.v1.RawAudio": {"samplingRate": 16000},
    "attendant.v1.AudioInput": {"samplingRate": 16000},
    "attendant.v1.AnswerRequest.Input": {"question": "who?", "context": "you"},
    "attendant.v1.RerankRequest": {"query": "a", "documents": ["b"]},
    "attendant.v1.AttentionRequest": {"subject": {"text": "hello"}, "answer": {"text": "you"}},
    "attendant.v1.AttributeRequest": {"subject": {"text": "hello"}, "answer": {"text": "you"}},
    "attendant.v1.WordInContext": {"text": "the word", "word": "word"},
    "inference.ModelInferRequest": {
        "inputs": [
            {"name": "text_input", "datatype": "BYTES", "shape": [1], "contents": {"bytesContents": ["aGVsbG8="]}}
        ]
    },
    "inference.ModelInferRequest.InferInputTensor": {"name": "text_input", "datatype": "BYTES", "shape": [1]},
    "inference.ModelInferRequest.ParametersEntry": {"key": "max_tokens"},
    "tei.v1.RerankRequest": {"query": "a", "texts": ["b"]},
    "tei.v1.RerankStreamRequest": {"query": "a", "text": "b"},
    "vllm.grpc.engine.GenerateRequest": {
        "requestId": "one", "tokenized": {"inputIds": [70, 71]}, "samplingParams": {"maxTokens": 2},
    },
    "vllm.grpc.engine.EmbedRequest": {"requestId": "one", "tokenized": {"inputIds": [70, 71]}},
}  # fmt: skip
"""What else a message says, so that it gets as far as the field that is looked at."""

ENGINES = "vllm.grpc.engine.VllmEngine"
TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


@dataclass(frozen=True)
class Asked:
    """A call.

    Attributes:
        name: the method, and where in its message the text is.
        method: which is called. message: what is sent.
    """

    name: str
    method: MethodDescriptor
    message: Any

    @property
    def service(self) -> str:
        """The full name of its service."""
        service: Any = self.method.containing_service
        return str(service.full_name)


def asked(text: str) -> Iterator[Asked]:
    """A call for each text of each method's message."""
    for method in METHODS:
        for place in places(method.input_type):
            service: Any = method.containing_service
            name = f"{service.full_name}/{method.name} {'.'.join(field.name for field in place)}"
            yield Asked(name, method, message_with(method.input_type, place, text))


def places(kind: Descriptor, above: Place = ()) -> Iterator[Place]:
    """Every field that is a text or bytes, however deep. A message within itself is looked at once."""
    for field in kind.fields:
        within = field.message_type
        if within is not None:
            if within not in [each.message_type for each in above]:
                yield from places(within, (*above, field))
        elif field.type in TEXTS:
            yield (*above, field)


def message_with(kind: Descriptor, place: Place, text: str) -> Any:
    """A message with a text at a place."""
    message = _meant(kind)
    _put(message, place, text)
    return message


def _put(message: Any, place: Place, text: str) -> None:
    field, *rest = place
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        (inside,) = rest[:1]
        held = getattr(message, field.name)
        key = text if inside.name == "key" else "max_tokens"
        if field.message_type.fields_by_name["value"].message_type is None:
            held[key] = text
        elif inside.name == "value":
            _put(held[key], tuple(rest[1:]), text)
        else:
            held[key].SetInParent()
    elif field.message_type is not None:
        if field.is_repeated:
            message.ClearField(field.name)
            inside = getattr(message, field.name).add()
        else:
            inside = getattr(message, field.name)
        inside.MergeFrom(_meant(field.message_type))
        _put(inside, tuple(rest), text)
    else:
        value = text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        if field.is_repeated:
            message.ClearField(field.name)
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)


def _meant(kind: Descriptor) -> Any:
    message = message_factory.GetMessageClass(kind)()
    json_format.ParseDict(dict(MEANT.get(kind.full_name, {})), message)
    for field in kind.fields:
        if field.name in ("model", "model_name") and not field.is_repeated:
            setattr(message, field.name, likely(kind.name))
    return message


def likely(name: str, names: Sequence[tuple[str, tuple[str, ...]]] = LIKELY) -> str:
    """The model that could answer a message of this name."""
    return next((models[0] for words, models in names if re.search(words, name)), "demo")
