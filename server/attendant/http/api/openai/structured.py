"""What an answer has to be like, as OpenAI's response_format and vLLM's structured_outputs say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attendant.core.errors import InvalidRequest
from attendant.core.grammar import STRUCTURED, Grammar, structured
from attendant.core.shown import shown
from attendant.http.api.openai.sampling import SamplingBody

_KINDS = tuple(STRUCTURED)
_GUIDED = {"guided_json": "json", "guided_regex": "regex", "guided_choice": "choice", "guided_grammar": "grammar"}
_KIND_FIELDS = {"json_schema": "json", "regex": "regex", "choice": "choice", "lark": "grammar", "gbnf": "grammar"}
_GRAMMAR = "grammar"

_SCHEMA_FIELDS = ("name", "description", "schema", "strict")
_NAME = 64  # characters of the name of a schema


def grammar_of(body: SamplingBody, response_format: Mapping[str, Any] | None, field: str) -> Grammar | None:
    """The grammar that a body asks for; None for none.

    Args:
        response_format: as Chat Completions has it; ``field``: where it stands.

    Raises:
        InvalidRequest: a format that is not known, or several that would all have to hold.
    """
    asked = {
        field: _of_format(response_format, field),
        "structured_outputs": _of_structured(body.structured_outputs),
    }
    for name, kind in _GUIDED.items():
        value = getattr(body, name)
        asked[name] = None if value is None else _of_kind(kind, value, name)
    given = {name: grammar for name, grammar in asked.items() if grammar is not None}
    if len(given) > 1:
        raise InvalidRequest(" and ".join(given), "say what the answer has to be like; allowed: one of them")
    return next(iter(given.values()), None)


def grammar_fields(body: SamplingBody, field: str, schema_field: str) -> dict[str, str]:
    """The front end's names of what an answer has to be like, and what this body has in their places.

    Args:
        field: of the format. schema_field: of its schema.
    """
    for name in _GUIDED:
        if getattr(body, name) is not None:
            return {_GRAMMAR: name, **{f"{_GRAMMAR}.{kind}": name for kind in _KIND_FIELDS}}
    if body.structured_outputs:
        own = "structured_outputs"
        return {_GRAMMAR: own, **{f"{_GRAMMAR}.{kind}": f"{own}.{name}" for kind, name in _KIND_FIELDS.items()}}
    return {_GRAMMAR: field, f"{_GRAMMAR}.json_schema": schema_field}


def schema_grammar(schema: Mapping[str, Any] | None) -> Grammar:
    """The grammar of a JSON schema; without one, of any JSON object."""
    return Grammar("json_object") if schema is None else Grammar("json_schema", json.dumps(schema, ensure_ascii=False))


def json_schema_grammar(asked: Mapping[str, Any], field: str) -> Grammar:
    """The grammar of a named schema. It holds whether ``strict`` is true or not.

    Raises:
        InvalidRequest: the name or the schema is not as it has to be.
    """
    check_fields(asked, _SCHEMA_FIELDS, field)
    name, schema = asked.get("name"), asked.get("schema")
    if not isinstance(name, str) or not 0 < len(name) <= _NAME:
        raise InvalidRequest(f"{field}.name", f"is {shown(name)}; allowed: 1 to {_NAME} characters")
    if schema is not None and not isinstance(schema, dict):
        raise InvalidRequest(f"{field}.schema", f"is {shown(schema)}; allowed: a JSON schema, which is an object")
    if asked.get("strict") not in (None, True, False):
        raise InvalidRequest(f"{field}.strict", f"is {shown(asked['strict'])}; allowed: true, false")
    if schema is None and asked.get("strict"):
        raise InvalidRequest(f"{field}.schema", "is missing; a strict format has one")
    return schema_grammar(schema)


def check_fields(asked: Mapping[str, Any], allowed: tuple[str, ...], field: str) -> None:
    """Raises InvalidRequest, which names ``field``, for a key that is not ``allowed``. Clients that write every field
    of their types send null for those that are not meant: that says nothing."""
    for key, value in asked.items():
        if key not in allowed and value is not None:
            raise InvalidRequest(f"{field}.{key[:60]}", f"is not known; allowed: {', '.join(allowed)}")


def _of_format(asked: Mapping[str, Any] | None, field: str) -> Grammar | None:
    if asked is None:
        return None
    match asked.get("type"):
        case "text":
            check_fields(asked, ("type",), field)
            return None
        case "json_object":
            check_fields(asked, ("type",), field)
            return Grammar("json_object")
        case "json_schema":
            check_fields(asked, ("type", "json_schema"), field)
            schema = asked.get("json_schema")
            if not isinstance(schema, dict):
                raise InvalidRequest(f"{field}.json_schema", f"is {shown(schema)}; allowed: an object with a name")
            return json_schema_grammar(schema, f"{field}.json_schema")
        case other:
            raise InvalidRequest(f"{field}.type", f"is {shown(other)}; allowed: text, json_object, json_schema")


def _of_structured(asked: Mapping[str, Any] | None) -> Grammar | None:
    field = "structured_outputs"
    given = {name: value for name, value in (asked or {}).items() if value not in (None, False)}
    if not given:
        return None
    check_fields(given, _KINDS, field)
    if len(given) > 1:
        raise InvalidRequest(field, f"has {' and '.join(given)}; allowed: one of {', '.join(_KINDS)}")
    ((kind, value),) = given.items()
    return _of_kind(kind, value, f"{field}.{kind}")


def _of_kind(kind: str, value: Any, field: str) -> Grammar:
    grammar = structured(kind, value)
    if grammar is None:
        raise InvalidRequest(field, f"is {shown(value)}; allowed: {STRUCTURED[kind]}")
    return grammar
