"""A text in every place of every body of HTTP, as their schemas have them, and the rest of the body as it is meant."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from tests.http.api.known import BODIES, EXAMPLES, FORMS

Schema = Mapping[str, Any]

MEANT = {"role": "user", "content": "hello", "model": "demo", "name": "find", "max_tokens": 2}
"""What fields of these names hold, where they stand beside the one that is looked at."""

MODELS = {"/v1/embeddings": "vectors", "/v1/audio/transcriptions": "words", "/v1/audio/translations": "words"}


HERE = "(here)"
_CALL: Mapping[str, Any] = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
WITHIN: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "/v1/chat/completions": (
        *(
            ("messages", [{"role": "user", "content": [part]}])
            for part in (
                {"type": "text", "text": HERE},
                {"type": "image_url", "image_url": {"url": HERE}},
                {"type": "image_url", "image_url": HERE},
                {"type": "input_audio", "input_audio": {"data": HERE, "format": "wav"}},
                {"type": "file", "file": {"file_data": HERE, "filename": HERE}},
                {"type": HERE},
            )
        ),
        *(
            (
                "messages",
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call]}],
            )
            for call in (
                {**_CALL, "id": HERE},
                {**_CALL, "function": {"name": HERE, "arguments": "{}"}},
                {**_CALL, "function": {"name": "find", "arguments": HERE}},
                {**_CALL, "function": {"name": "find", "arguments": '{"a": "(here)"}'}},
            )
        ),
        *(
            ("tools", [{"type": "function", "function": function}])
            for function in (
                {"name": HERE},
                {"name": "find", "description": HERE},
                {"name": "find", "parameters": {"type": "object", "properties": {HERE: {"type": "string"}}}},
                {"name": "find", "parameters": {"$ref": HERE}},
            )
        ),
        *(
            ("response_format", {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
            for schema in ({"$ref": HERE}, {"type": HERE}, {"enum": [HERE]}, {"type": "string", "pattern": HERE})
        ),
        ("response_format", {"type": "json_schema", "json_schema": {"name": HERE, "schema": {}}}),
        ("chat_template_kwargs", {"a": HERE}),
        ("chat_template_kwargs", {HERE: "a"}),
        ("tool_choice", {"type": "function", "function": {"name": HERE}}),
    ),
    "/v1/responses": (
        *(
            ("input", [item])
            for item in (
                {"role": "user", "content": HERE},
                {"role": HERE, "content": "a"},
                {"role": "user", "content": [{"type": "input_text", "text": HERE}]},
                {"role": "user", "content": [{"type": "input_image", "image_url": HERE}]},
                {"role": "user", "content": [{"type": "input_file", "file_url": HERE}]},
                {"type": "function_call", "name": HERE, "arguments": "{}", "call_id": "1"},
                {"type": "function_call", "name": "find", "arguments": HERE, "call_id": "1"},
                {"type": "function_call_output", "output": HERE, "call_id": "1"},
                {"type": "item_reference", "id": HERE},
            )
        ),
        ("tools", [{"type": "function", "name": HERE, "parameters": {}}]),
        ("text", {"format": {"type": "json_schema", "name": "a", "schema": {"$ref": HERE}}}),
    ),
    "/v2/models/{model}/generate": (("text_input", HERE), (HERE, "a"), ("parameters", {HERE: HERE}), ("chat", HERE)),
    "/v2/models/{model}/infer": (
        ("inputs", [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [HERE]}]),
        ("inputs", [{"name": HERE, "datatype": "BYTES", "shape": [1], "data": ["a"]}]),
        ("parameters", {HERE: HERE}),
        ("outputs", [{"name": HERE}]),
    ),
    "/v2/logging": (("log_file", HERE), (HERE, "a"), ("log_verbose_level", HERE)),
    "/v2/trace/setting": (("trace_file", HERE), ("trace_level", [HERE]), (HERE, "a")),
    "/v2/repository/models/{model}/load": (("parameters", {"config": HERE}), ("parameters", {f"file:{HERE}": "AA=="})),
    "/rerank": (("texts", [HERE]), ("query", HERE), ("documents", [HERE])),
}
"""Fields with values where a text stands deeper than schemas tell; :data:`HERE` is where."""


def bodies(text: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, place and body, for each place of each path's body."""
    for path, kind in BODIES.items():
        schema = kind.model_json_schema()
        defs = schema.get("$defs", {})
        example = dict(EXAMPLES.get(path) or {"model": MODELS.get(path, "demo")})
        for name, field in schema.get("properties", {}).items():
            for place, value in values(field, defs, text):
                yield path, f"{name}{place}", copy.deepcopy({**example, name: value})
        yield path, "?", {**example, text: text}
        for name, value in WITHIN.get(path, ()):
            yield path, f"{name} {value}", {**example, **_with({name: value}, text)}


def _with(value: Any, text: str) -> Any:
    """A value with the text where it is to be."""
    if isinstance(value, str):
        return value.replace(HERE, text)
    if isinstance(value, list):
        return [_with(each, text) for each in value]
    if isinstance(value, dict):
        return {_with(name, text): _with(each, text) for name, each in value.items()}
    return value


def is_form(path: str) -> bool:
    """Whether a path's body is a form."""
    return path in FORMS


def values(schema: Schema, defs: Schema, text: str, seen: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Where in a value of the schema a text can be, and the value with it there; also where no text belongs."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            yield from values(defs[name], defs, text, (*seen, name))
        return
    several = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if several:
        for each in several:
            yield from values(each, defs, text, seen)
        return
    yield "", text
    for place, each in enumerate(schema.get("prefixItems", ())):
        for inside, value in values(each, defs, text, seen):
            yield f"[{place}]{inside}", [value]
    if isinstance(schema.get("items"), dict):
        for inside, value in values(schema["items"], defs, text, seen):
            yield f"[]{inside}", [value]
    beside = {name: plain(schema["properties"][name], defs, name) for name in schema.get("required", ())}
    for name, field in schema.get("properties", {}).items():
        for inside, value in values(field, defs, text, seen):
            yield f".{name}{inside}", {**beside, name: value}
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        for inside, value in values(more, defs, text, seen):
            yield f".*{inside}", {**beside, "a": value}
    if more or not schema.keys() - {"title", "description", "default"}:
        yield ".?", {**beside, text: {"a": [text]}}


def plain(schema: Schema, defs: Schema, name: str) -> Any:
    """A value of a schema that somebody could mean."""
    if "$ref" in schema:
        return plain(defs[schema["$ref"].rpartition("/")[2]], defs, name)
    several = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if several:
        return plain(several[0], defs, name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return MEANT[name] if MEANT.get(name) in schema["enum"] else schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", ())
        return {each: plain(schema["properties"][each], defs, each) for each in required}
    return {"string": MEANT.get(name, "a"), "array": [], "integer": 1, "number": 1.0, "boolean": False}.get(kind)
