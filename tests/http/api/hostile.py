"""Random bodies for a JSON schema: mostly of its shape, with values nobody hoped for, now and then no JSON at all."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TEXTS = (
    "",
    "a",
    "Where is my order?",
    "\u0000",
    "\U0001f600" * 50,
    "\ud7ff\u200d\u0301" * 9,
    "x " * 3000,
    "<|end|>",
    "{{ 7*7 }}",
    "{% for a in range(10**9) %}x{% endfor %}",
    "../../etc/passwd",
    '{"type": "object"}',
    "(a|aa)+$" * 20,
    'start: "a"+',
    "root ::= root root | ",
    "data: x\n\nevent: y\r\n\r\n",
    "1e999",
    "auto",
    "none",
)
NUMBERS = (0, 1, 2, 3, 7, -1, 16, 255, 4096, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1)
NUMBERS_WITH_POINT = (0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -0.0, 100.0, 1e308)
DEEP = 2_000
"""Levels of nesting, more than a parser that calls itself has room for."""
MOST_LEVELS = 7
"""Of a value that has the shape of its schema."""

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", 1]}}, "required": ["a"], "additionalProperties": False}
LOOP = {"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
KNOWN: Mapping[str, tuple[Any, ...]] = {
    "messages": (
        [{"role": "user", "content": "Where is my order?"}],
        [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}]}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        [{"role": "tool", "content": "a", "tool_call_id": "nobody's"}],
        [{"role": "assistant", "content": "The order"}],
    ),
    "input": ("hello", ["a", "b"], [5, 6], [[5], [6, 7]], [-1], [2**40], [{"role": "user", "content": "a"}], [[]]),
    "prompt": ("hello", ["a", "b"], [5, 6], [[5], [6, 7]], [-1], [2**40], [""], []),
    "response_format": (
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": LOOP}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#/nowhere"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"pattern": "(?=a)", "type": "string"}}},
        {"type": "json_schema"},
        {"type": "text"},
        "json",
        "verbose_json",
        "srt",
    ),
    "tools": (
        [{"type": "function", "function": FUNCTION}],
        [{"type": "function", **FUNCTION}],
        [{"name": "f", "input_schema": SCHEMA}],
        [{"type": "function", "function": FUNCTION}] * 2,
        [{"type": "function", "function": {"name": "a b", "parameters": LOOP, "strict": True}}],
    ),
    "tool_choice": (
        "required",
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "name": "f"},
        {"type": "tool", "name": "f"},
        {"type": "any"},
        {"type": "function", "function": {"name": "nobody's"}},
    ),
    "structured_outputs": ({"regex": "(a|b)+"}, {"choice": ["a", "b"]}, {"grammar": 'start: "a"'}, {"json": SCHEMA}),
    "chat_template": (
        "{{ messages[0].content }}",
        "{% for m in messages %}{{ m",
        "{{ 10**10**10 }}",
        "{{ [0]*10**9 }}",
    ),
    "logit_bias": ({"5": 100}, {"5": -100}, {"-1": 1}, {"99999999": 1}, {"a": 1}),
    "inputs": (
        [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}],
        [{"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["hello"]}],
        [{"name": "input_ids", "datatype": "INT64", "shape": [1, 2], "data": [5, 6]}],
        [{"name": "text", "datatype": "BYTES", "shape": [2**40], "data": []}],
        [{"name": "text", "datatype": "BYTES", "shape": [-1], "data": [[["a"]]]}],
    ),
    "parameters": ({"binary_data_size": 2**63}, {"priority": -1}, {"timeout": 1}, {"max_tokens": 3, "stream": True}),
}
"""What fields of these names have that reaches beyond a schema: the shapes of one API are wrong for another."""

Schema = Mapping[str, Any]


class Hostile:
    """Draws bodies.

    Args:
        chance: what everything is drawn with. models: names that a field named ``model`` has mostly.
    """

    def __init__(self, chance: random.Random, models: Sequence[str]) -> None:
        self._chance = chance
        self._models = models
        self._definitions: Schema = {}

    def body(self, schema: Schema, definitions: Schema, example: Schema | None = None) -> bytes:
        """What one call sends.

        Args:
            definitions: schemas that others refer to, by the last part of their reference.
            example: a body that is right. Half of what is drawn is this, with up to two other fields.
        """
        self._definitions = definitions
        if example is not None and self._chance.random() < 0.5:
            fields = list(schema.get("properties", {}).items())
            some = self._chance.sample(fields, min(len(fields), self._chance.randrange(3)))
            value = {**example, **{name: self._value(of_field, name, 1) for name, of_field in some}}
        else:
            value = self._object(schema, 0)
        text = json.dumps(value, ensure_ascii=self._chance.random() < 0.5).encode("utf-8", "surrogatepass")
        return self._spoilt(text) if self._chance.random() < 0.15 else text

    def _spoilt(self, text: bytes) -> bytes:
        """A body that is no JSON any more, or JSON that few have seen."""
        chance = self._chance
        ways: list[Callable[[], bytes]] = [
            lambda: text[: chance.randrange(len(text))],
            lambda: text + b"}",
            lambda: b'{"model":' + b"[" * DEEP + b"]" * DEEP + b"}",
            lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
            lambda: b"",
            lambda: b"null",
            lambda: b"[]",
            lambda: b"NaN",
            lambda: b'"text"',
            lambda: b"\xff\xfe\x00{",
            lambda: b"\xef\xbb\xbf" + text,
            lambda: text[:-1] + b',"model":"\\ud800"}' if text.endswith(b"}") and len(text) > 2 else text,
            lambda: text[:-1] + b',"temperature":NaN}' if len(text) > 2 else text,
            lambda: text[:-1] + b',"seed":1' + b"0" * 6000 + b"}" if len(text) > 2 else text,
            lambda: text[:-1] + b',"temperature":1e999}' if len(text) > 2 else text,
            lambda: text[:-1] + b',"no_such_field":1}' if len(text) > 2 else text,
            lambda: text.replace(b'"', b"'"),
        ]
        return chance.choice(ways)()

    def _value(self, schema: Schema, name: str, level: int) -> Any:
        chance = self._chance
        if chance.random() < 0.03:
            return chance.choice([None, True, [], {}, [[]], chance.choice(TEXTS), chance.choice(NUMBERS), {"": None}])
        if name in KNOWN and chance.random() < 0.5:
            return chance.choice(KNOWN[name])
        if "$ref" in schema:
            return self._value(self._definitions[schema["$ref"].rpartition("/")[2]], name, level + 1)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._value(chance.choice(schema[several]), name, level)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice([*schema["enum"], *schema["enum"], "nonsense"])
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = chance.choice(kind)
        return self._of_kind(kind, schema, name, level)

    def _of_kind(self, kind: str | None, schema: Schema, name: str, level: int) -> Any:
        chance = self._chance
        if kind == "string":
            return chance.choice(self._models) if name == "model" and chance.random() < 0.9 else chance.choice(TEXTS)
        if kind in ("integer", "number"):
            if "token" in name and chance.random() < 0.9:  # answers that end soon
                return chance.choice((0, 1, 2, 5, 16, 24))
            return chance.choice(NUMBERS if kind == "integer" else (*NUMBERS_WITH_POINT, *NUMBERS))
        if kind == "boolean":
            return chance.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            return self._array(schema, name, level)
        if kind == "object":
            return self._object(schema, level)
        return chance.choice([{"type": "object"}, {"a": [1]}, 1, "a", None, {"type": "string", "pattern": "(a*)*b"}])

    def _array(self, schema: Schema, name: str, level: int) -> list[Any]:
        if "prefixItems" in schema:
            return [self._value(each, name, level + 1) for each in schema["prefixItems"]]
        count = self._chance.choice((0, 1, 1, 2, 5, 40)) if level < MOST_LEVELS else 0
        return [self._value(schema.get("items", {}), name, level + 1) for _ in range(count)]

    def _object(self, schema: Schema, level: int) -> Any:
        if "properties" not in schema and ("$ref" in schema or "anyOf" in schema or "oneOf" in schema):
            return self._value(schema, "", level)
        required, few = set(schema.get("required", ())), self._chance.choice((0.02, 0.05, 0.3))
        made = {}
        for name, of_field in schema.get("properties", {}).items():
            wanted = self._chance.random() < (0.97 if name in required or name == "model" else few)
            if wanted and (level < MOST_LEVELS or name in required):
                made[name] = self._value(of_field, name, level + 1)
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and level < MOST_LEVELS:
            made.update({self._chance.choice(TEXTS): self._value(more, "", level + 1) for _ in range(2)})
        elif more is True or "properties" not in schema:
            made.update({"type": "object", "properties": {"a": {"type": "string"}}})
        return made
