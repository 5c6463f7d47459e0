"""Qwen3-Coder's format: each argument as text between tags, which the tool's schema makes a JSON value of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attendant.frontend.answers.json_text import as_json
from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.told import Told

TAG, END_TAG = "<tool_call>", "</tool_call>"
FUNCTION, END_FUNCTION = "<function=", "</function>"
PARAMETER, END_PARAMETER = "<parameter=", "</parameter>"

_PYTHON = {"True": True, "False": False, "None": None}
"""Python's words, which models write for JSON's."""
NAME = re.compile(r"[^<>\s]+( [^<>\s]+)*")
_UP_TO_ITS_END = re.compile(r"[^<>\n]+")


class XmlSection:
    """Calls, each ``<function=NAME><parameter=NAME>text</parameter></function>``.

    Args:
        tagged: they stand in a tag, whose begin was taken; otherwise the begin of a function was.
    """

    def __init__(self, *, tagged: bool) -> None:
        self._tagged = tagged

    def __call__(self, reader: Reader, told: Told) -> Step[None]:
        """See :class:`attendant.frontend.answers.formats.Section`."""
        if self._tagged:
            yield from reader.whole_run(SPACE)
            yield from reader.expect(FUNCTION)
        while True:
            yield from _call(reader, told)
            reader.mark()
            yield from reader.whole_run(SPACE)
            if not (yield from reader.take_one_of((FUNCTION,))):
                break
        yield from reader.take_one_of((END_TAG,))


def _call(reader: Reader, told: Told) -> Step[None]:
    name = yield from _name(reader)
    told.begin_call(name)
    schemas = told.tools.schemas
    properties = schemas[name].get("properties") if schemas is not None else None
    told.arguments("{")
    names: set[str] = set()
    while True:
        yield from reader.whole_run(SPACE)
        tag = yield from reader.take_one_of((PARAMETER, END_FUNCTION))
        if tag != PARAMETER:
            break
        key = yield from _name(reader)
        if key in names:
            raise NoCall
        names.add(key)
        told.arguments(f"{', ' if len(names) > 1 else ''}{as_json(key)}: ")
        schema = properties.get(key) if isinstance(properties, Mapping) else None
        if _is_text(schema):
            yield from _text(reader, told)
        else:
            yield from _value(reader, told, schema)
    if not tag:  # also where the answer ends: there may have been more to come
        raise NoCall
    told.arguments("}")
    told.end_call()


def _name(reader: Reader) -> Step[str]:
    name = yield from reader.whole_run(_UP_TO_ITS_END)
    if NAME.fullmatch(name) is None:
        raise NoCall
    yield from reader.expect(">")
    return name


def _is_text(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "string"


def _text(reader: Reader, told: Told) -> Step[None]:
    """A text, told as it comes, without the line breaks that stand around it."""
    yield from reader.take_one_of(("\n",))
    told.arguments('"')
    stop = yield from reader.until(
        (f"\n{END_PARAMETER}", END_PARAMETER), lambda text: told.arguments(as_json(text)[1:-1])
    )
    if not stop:
        raise NoCall
    told.arguments('"')


def _value(reader: Reader, told: Told, schema: Any) -> Step[None]:
    """JSON, or if it is none, a text; a text, or null, where the schema has no other types."""
    parts: list[str] = []
    if not (yield from reader.until((END_PARAMETER,), parts.append)):
        raise NoCall
    text = "".join(parts).removeprefix("\n").removesuffix("\n")
    types = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(types, list) and set(types) == {"string", "null"}:
        told.arguments("null" if text.strip() in ("null", "None") else as_json(text))
        return
    try:
        told.arguments(as_json(json.loads(text)))
    except (ValueError, RecursionError, NoCall):
        told.arguments(as_json(_PYTHON.get(text.strip(), text)))
