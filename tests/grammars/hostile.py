"""Grammars that want to cost a server something: sizes, depths, choices, references in circles, and mere nonsense."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from attendant.core.grammar import Grammar


def _schema(schema: Any) -> Grammar:
    return Grammar("json_schema", schema if isinstance(schema, str) else json.dumps(schema))


def _nested(depth: int) -> str:
    return '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth


def _chain(count: int) -> dict[str, Any]:
    links = {f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(count)}
    return {"$defs": {**links, f"d{count}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def _properties(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(count)}}


def _rules(count: int) -> str:
    return "start: r0\n" + "\n".join(f"r{i}: r{i + 1}" for i in range(count)) + f'\nr{count}: "y"'


REFUSED: Mapping[str, Grammar] = MappingProxyType(
    {
        "huge enum": _schema({"enum": [f"value {i}" for i in range(100_000)]}),
        "too many properties": _schema(_properties(3_000)),
        "deep schema": _schema(_nested(120)),
        "deeper schema": _schema(_nested(2_000)),
        "deep json": _schema("[" * 60_000 + "]" * 60_000),
        "$ref in a circle": _schema({"$ref": "#"}),
        "$refs in a circle": _schema(
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
        ),
        "$ref elsewhere": _schema({"$ref": "http://example.org/schema.json"}),
        "$ref to a file": _schema({"$ref": "file:///etc/passwd"}),
        "$ref to nothing": _schema({"$ref": "#/$defs/nothing"}),
        "choices times choices": _schema(
            {"allOf": [{"oneOf": [{"required": [f"a{i}{j}"]} for j in range(4)]} for i in range(10)]}
        ),
        "not": _schema({"not": {"type": "string"}}),
        "if": _schema({"if": {"type": "string"}, "then": {"minLength": 3}}),
        "uniqueItems": _schema({"type": "array", "uniqueItems": True}),
        "contains": _schema({"type": "array", "contains": {"type": "integer"}}),
        "unknown format": _schema({"type": "string", "format": "weird"}),
        "wrong keyword": _schema({"type": "object", "patternProperties": 5}),
        "nothing fits": _schema({"type": "integer", "minimum": 5, "maximum": 3}),
        "false": _schema("false"),
        "a number": _schema("5"),
        "NaN": _schema('{"const": NaN}'),
        "1e400": _schema('{"type": "integer", "minimum": 1e400}'),
        "huge number": _schema('{"type": "integer", "minimum": ' + "9" * 5_000 + "}"),
        "not json": _schema("{"),
        "empty schema text": _schema(""),
        "lone surrogate": Grammar("json_schema", '{"const": "\ud800"}'),
        "too large": Grammar("regex", "a" * 200_000),
        "open group": Grammar("regex", "a("),
        "look-ahead": Grammar("regex", "a(?=b)"),
        "back reference": Grammar("regex", r"(a)\1"),
        "groups in groups": Grammar("regex", "(" * 20_000 + "a" + ")" * 20_000),
        "counted counts": Grammar("lark", "start: A\nA: /(.*a.{30})/ & /.*b.{29}/ & /(?s:.)*c(?s:.){25}/"),
        "no choice": Grammar("choice"),
        "empty lark": Grammar("lark", ""),
        "rule of itself": Grammar("lark", "start: start"),
        "unknown rule": Grammar("lark", "start: x"),
        "brackets in brackets": Grammar("lark", "start: " + "(" * 5_000 + '"a"' + ")" * 5_000),
        "unknown token": Grammar("lark", "start: <|nobody|>"),
        "open string": Grammar("gbnf", 'root ::= "a'),
        "gbnf in brackets": Grammar("gbnf", "root ::= " + "(" * 30_000),
    }
)
"""What no server serves."""

HARMLESS: Mapping[str, Grammar] = MappingProxyType(
    {
        "minItems 10^6": _schema({"type": "array", "items": {"type": "integer"}, "minItems": 10**6}),
        "minItems 10^9": _schema({"type": "array", "items": {"type": "integer"}, "minItems": 10**9}),
        "minLength 10^6": _schema({"type": "string", "minLength": 10**6}),
        "tree": _schema({"type": "object", "properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}}),
        "references in a row": _schema(_chain(1_000)),
        "rules in a row": Grammar("lark", _rules(4_000)),
        "exponential": Grammar("regex", "(a|b)*a(a|b){40}"),
        "three times exponential": Grammar("regex", "(.*a.{50}|.*b.{50}|.*c.{50})*"),
        "counts of counts": Grammar("regex", "((a{1,100}){1,100}){1,100}"),
        "plus of plus": Grammar("regex", "(x+x+)+y"),
        "any two": Grammar("lark", 'start: x\nx: x x | "a" | "b"'),
        "many properties": _schema(_properties(1_500)),
        "many optional": Grammar("regex", "a?b*" * 2_000),
        "million times": Grammar("lark", 'start: "a"{1000000}'),
        "zero byte": Grammar("regex", "a\x00b+"),
        "long constant": _schema({"const": "x" * 20_000}),
    }
)
"""What costs no more than its limits, though it may end in an error on the way."""
