"""Random messages for a protobuf descriptor: mostly of a shape that could be meant, with values nobody hoped for.

Nothing here knows a single message: a field that is added is filled from the day on which it is there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.fuzz.files import sound_and_images
from tests.http.api.hostile import DEEP, KNOWN, TEXTS

MOST_LEVELS = 6
MEANT = frozenset({"inputs", "texts", "messages", "query", "documents", "images", "role", "content", "ids", "contents"})
"""Fields without which their message asks for nothing."""
MILD = {
    "temperature": (0.0, 1.0),
    "top_p": (1.0, 0.9),
    "shape": (1, 1, 2),
    "ids": (5, 6, 70),
    "sampling_rate": (16_000,),
}
"""What fields of these names hold in a mild message."""
WHOLE = (0, 1, 2, 3, 7, 16, 255, 4096, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -2, -(2**31), -(2**63))
WITH_POINT = (0.0, 1.0, -1.0, 0.5, 0.1, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"), -0.0, 100.0)
FEW = (0, 1, 1, 2, 5, 16)
"""Lengths of answers, widths of beams: what would else keep a server busy for long."""

SAID = ("Where is my order?", "hello", "a [MASK] b", "The weather is fine.")
JSON = (
    '{"type": "object"}',
    '{"a": [1]}',
    "[]",
    "null",
    "{",
    '{"a":' * DEEP,
    '{"type": "string", "pattern": "(a*)*b"}',
)
NAMED: dict[str, tuple[Any, ...]] = {
    "role": ("user", "system", "assistant", "tool", "nobody"),
    "name": (
        "text",
        "text_input",
        "input_ids",
        "image",
        "samples",
        "audio",
        "chat",
        "query",
        "documents",
        "max_tokens",
    ),
    "datatype": ("BYTES", "INT64", "FP32", "INT32", "BOOL", "UINT8", "FP16", "BF16"),
    "json_schema": tuple(text for text in (*JSON, '{"enum": ["a", 1]}', '{"$ref": "#/nowhere"}')),
    "regex": ("(a|b)+", "(a|aa)+$" * 20, "(", "(?=a)b", "[0-9]{1,100000}"),
    "lark": ('start: "a"+', "start: start start", "start:"),
    "gbnf": ('root ::= "a"', "root ::= root root | ", "root ::="),
    "given_template": ("{{ messages[0].content }}", "{% for m in messages %}{{ m", "{{ 10**10**10 }}"),
    "parameters": JSON,
    "definition": JSON,
    "arguments": JSON,
    "documents": JSON,
    "template_variables": JSON,
    "parts": JSON,
    "language": ("en", "fr", "de", "zz"),
    "source_language": ("en", "fr"),
    "target_language": ("en", "fr"),
    "tool_format": ("hermes", "llama3_json", "nobody's"),
    "service": ("", "attendant.v1.Generation", "nobody"),
}
"""What fields of these names hold half of the time."""

METADATA: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("x-request-id", ("", "a", "a b", "x" * 4000)),
    ("traceparent", ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00", "ff-" + "f" * 60)),
    ("authorization", ("Bearer x", "Bearer", "Basic eDp5", "")),
    ("x-attendant-priority", ("0", "1", "-1", "9999999999999999999999", "high", "1.5", "")),
    ("x-llm-d-slo-ttft-ms", ("1", "100000", "0", "-1", "nan", "inf", "1e999", "soon", "")),
    ("x-llm-d-inference-fairness-id", ("a", "", "x" * 3000, "a b")),
    ("x-attendant-cache-salt", ("a", "", "x" * 3000)),
    ("grpc-timeout-of-nobody", ("1",)),
)
"""What may come beside a message."""


LIKELY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Generate|Tokenize|Detokenize|Attention|Attribut|Subject", ("demo", "translator", "demo")),
    ("ClassifyToken", ("tags",)),
    ("ClassifyAudio", ("sounds",)),
    ("ClassifyImage", ("images", "shapes")),
    ("EmbedImage", ("pictures",)),
    ("Classify|Predict", ("moods", "sentiment")),
    ("Embed|Similarity", ("vectors",)),
    ("Rerank", ("ranks",)),
    ("FillMask", ("masks",)),
    ("Answer", ("answers",)),
    ("Transcri", ("words",)),
)
"""By what a message is called: which of the models of `tests.http.api.fuzz.served` could answer it."""


class Messages:
    """Draws messages. Half of them are mild: few fields, and values that somebody could mean.

    Args:
        chance: what everything is drawn with. models: names that fields for a model have otherwise.
    """

    def __init__(self, chance: random.Random, models: Sequence[str]) -> None:
        self._chance = chance
        self._models = models
        self._mild = chance.random() < 0.5

    def metadata(self, descriptor: Descriptor) -> list[tuple[str, str]]:
        """What comes beside a message of a kind: mostly nothing but the model's name, where that stands there."""
        chance = self._chance
        found = [("model", self._model(descriptor))] if chance.random() < 0.5 else []
        if chance.random() < 0.7:
            return found
        return [*found, *((name, chance.choice(values)) for name, values in METADATA if chance.random() < 0.3)]

    def serialized(self, descriptor: Descriptor) -> bytes:
        """A message of a kind as it goes over the wire; now and then no message at all."""
        data: bytes = self.message(descriptor).SerializeToString()
        if self._chance.random() < 0.03:
            return self._spoilt(data)
        return data

    def message(self, descriptor: Descriptor) -> Any:
        """A message of a kind."""
        message = message_factory.GetMessageClass(descriptor)()
        self._fill(message, 0.02 if self._mild else self._chance.choice((0.05, 0.2, 0.5)), 0)
        return message

    def _spoilt(self, data: bytes) -> bytes:
        chance = self._chance
        cut = data[: chance.randrange(len(data) + 1)]
        return chance.choice((cut, cut + b"\xff" * 5, data + b"\x0a", b"\xff\xff\xff\xff\x0f", cut[::-1]))

    def _fill(self, message: Any, share: float, level: int) -> None:
        """Fills a message: of each group one of the fields that exclude each other, of the others a share."""
        chance = self._chance
        groups = [each for each in message.DESCRIPTOR.oneofs if len(each.fields) > 1]
        chosen = {chance.choice(group.fields).name for group in groups if chance.random() < 0.9}
        grouped = {field.name for group in groups for field in group.fields}
        for field in message.DESCRIPTOR.fields:
            wanted = field.name in chosen if field.name in grouped else chance.random() < self._share(field, share)
            if wanted and (level < MOST_LEVELS or field.message_type is None):
                self._set(message, field, share, level)

    def _share(self, field: FieldDescriptor, share: float) -> float:
        if "model" in field.name or field.name in MEANT:
            return 0.95
        return max(share, 0.3) if field.is_repeated and field.message_type else share

    def _set(self, message: Any, field: FieldDescriptor, share: float, level: int) -> None:
        chance = self._chance
        if field.message_type and field.message_type.GetOptions().map_entry:
            self._map(getattr(message, field.name), field.message_type, share, level)
        elif field.is_repeated:
            values = getattr(message, field.name)
            for _ in range(chance.choice((0, 1, 1, 2, 5, 40) if level < 2 else (0, 1, 2))):
                if field.message_type:
                    self._fill(values.add(), share, level + 1)
                else:
                    values.append(self._value(field))
        elif field.message_type:
            getattr(message, field.name).SetInParent()
            self._fill(getattr(message, field.name), share, level + 1)
        else:
            setattr(message, field.name, self._value(field))

    def _map(self, held: Any, entry: Descriptor, share: float, level: int) -> None:
        for _ in range(self._chance.choice((1, 1, 3))):
            key, of_value = self._value(entry.fields_by_name["key"]), entry.fields_by_name["value"]
            if of_value.message_type:
                self._fill(held[key], share, level + 1)
            else:
                held[key] = self._value(of_value)

    def _value(self, field: FieldDescriptor) -> Any:
        chance, kind = self._chance, field.cpp_type
        if self._mild and field.name in MILD:
            return chance.choice(MILD[field.name])
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            return chance.choice(WITH_POINT)
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice([*(value.number for value in field.enum_type.values), 99])
        if kind == FieldDescriptor.CPPTYPE_STRING:
            if "model" in field.name or (field.name == "name" and field.containing_type.name.startswith("Model")):
                return self._model(field.containing_type)
            return self._bytes() if field.type == FieldDescriptor.TYPE_BYTES else self._text(field.name)
        return self._whole(field)

    def _whole(self, field: FieldDescriptor) -> int:
        unsigned = field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
        bits = 32 if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_INT32) else 64
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if any(word in field.name for word in ("max_", "beams", "tokens")) or field.name in ("n", "shape", "best_of"):
            return self._chance.choice(FEW if self._chance.random() < 0.95 else [high])
        return self._chance.choice([value for value in WHOLE if low <= value <= high])

    def _model(self, descriptor: Descriptor) -> str:
        likely = next((names for words, names in LIKELY if re.search(words, descriptor.name)), self._models)
        return self._chance.choice(likely if self._chance.random() < 0.8 else self._models)

    def _text(self, name: str) -> str:
        chance = self._chance
        if name in NAMED and chance.random() < 0.6:
            return str(chance.choice(NAMED[name]))
        text = chance.choice(SAID if self._mild or chance.random() < 0.5 else TEXTS)
        return text.encode("utf-8", "replace").decode()  # protobuf itself refuses half a character

    def _bytes(self) -> bytes:
        chance = self._chance
        if chance.random() < 0.6:
            return sound_and_images(chance)
        texts = [value for values in KNOWN.values() for value in values if isinstance(value, str)]
        return chance.choice((b"", b"\x05\x00\x00\x00hello", bytes(4000), chance.choice(texts).encode()))
