"""Grammars of arguments that are not written as a JSON object: Python's, and texts between tags."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attendant.core.errors import InvalidRequest
from attendant.frontend.answers import python_calls, xml_calls
from attendant.frontend.answers.xml_calls import END_PARAMETER, PARAMETER

Rules = tuple[list[str], dict[str, Mapping[str, Any]]]
"""Rules in Lark, and the schemas that they call ``@name``."""


def python_arguments(name: str, schema: Mapping[str, Any]) -> Rules:
    """``city="Paris", days=3``: values as JSON writes them, but True, False and None.

    Raises:
        InvalidRequest: an argument has a name that cannot be written.
    """
    _check_names(schema, python_calls.NAME, "letters, digits, and the signs _ . -")
    schemas: dict[str, Mapping[str, Any]] = {}

    def written(index: int, key: str, value: Mapping[str, Any]) -> str:
        return f"{json.dumps(f'{key}=')} {_value(schemas, f'{name}_{index}', value, schema)}"

    return _in_order(name, schema, written, between='", "'), schemas


def xml_arguments(name: str, schema: Mapping[str, Any]) -> Rules:
    """``<parameter=city>`` and so on, each on lines of its own: texts as they are, other values as JSON.

    Raises:
        InvalidRequest: an argument has a name that cannot be written.
    """
    _check_names(schema, xml_calls.NAME, "anything but < and > and space that is no single space between words")
    schemas: dict[str, Mapping[str, Any]] = {}
    rules: list[str] = []

    def written(index: int, key: str, value: Mapping[str, Any]) -> str:
        begin, end = json.dumps(f"{PARAMETER}{key}>\n"), json.dumps(f"\n{END_PARAMETER}")
        choices = [value["const"]] if "const" in value else value.get("enum")
        is_wrong = choices is not None and not (isinstance(choices, list) and choices)
        if value.get("type") != "string" or is_wrong:  # who reads the schema says what is wrong
            return f'{begin} {_value(schemas, f"{name}_{index}", value, schema)} {end} "\\n"'
        if choices:
            return f'{begin} ({" | ".join(json.dumps(str(choice)) for choice in choices)}) {end} "\\n"'
        rules.append(f"{name}_{index}[lazy]: TEXT {end}")
        return f'{begin} {name}_{index} "\\n"'

    return [*_in_order(name, schema, written, between=""), *rules], schemas


def _check_names(schema: Mapping[str, Any], name: re.Pattern[str], allowed: str) -> None:
    for key in schema.get("properties") or ():
        if name.fullmatch(key) is None:
            raise InvalidRequest(
                "tools", f"have an argument {key!r}, which the model's format of calls cannot say; allowed: {allowed}"
            )


def _in_order(
    name: str, schema: Mapping[str, Any], written: Callable[[int, str, Mapping[str, Any]], str], between: str
) -> list[str]:
    """Rules for the properties in their order, with ``between`` any two; those that are not required may be missing.

    For each place there are two rules: what may follow if nothing was written yet, and if something was.
    """
    properties = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    rules = []
    for index, (key, value) in enumerate(properties.items()):
        text = written(index, key, value if isinstance(value, Mapping) else {})
        rule = f"{name}_value_{index}"
        rules.append(f"{rule}: {text}")
        first, later = (f"{name}_{kind}_{index + 1}" for kind in ("first", "later"))
        skips = key not in required
        rules.append(f"{name}_first_{index}: {rule} {later}{f' | {first}' if skips else ''}")
        rules.append(f"{name}_later_{index}: {between} {rule} {later}{f' | {later}' if skips else ''}")
    last = len(properties)
    return [f"{name}: {name}_first_0", *rules, f'{name}_first_{last}: ""', f'{name}_later_{last}: ""']


def _value(schemas: dict[str, Mapping[str, Any]], name: str, value: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """A value of a property: of Python's words for what JSON calls otherwise, else JSON that fits the schema."""
    match value.get("type"):
        case "boolean":
            return '("True" | "False")'
        case "null":
            return '"None"'
    definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
    schemas[name] = {**definitions, **value}
    return f"@{name}"
