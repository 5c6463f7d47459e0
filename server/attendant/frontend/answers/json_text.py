"""JSON that comes piece by piece: told as it comes, and known for JSON at every character."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from attendant.core.strict_json import read_json
from attendant.frontend.answers.reader import NoCall, Reader, Step

Tell = Callable[[str], None]

MAX_DEPTH = 200
"""Arrays and objects in one another, so that every reader of the JSON can follow."""

SPACE = re.compile(r"[ \t\n\r]+")
"""That JSON may have between its parts."""

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_CONTROLS = re.compile(r"[\x00-\x1f]+")
_SCALAR = re.compile(r"[-+.0-9A-Za-z]+")
_WHOLE_SCALAR = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_HEX = re.compile(r"[0-9a-fA-F]+")


def json_value(reader: Reader, tell: Tell) -> Step[None]:
    """Take a JSON value, and tell its text as it comes. Control characters in strings, which models write and JSON does
    not allow, are told as escapes; nothing else is changed.

    Raises:
        NoCall: it is none, or the text ends in it.
    """
    ends: list[str] = []
    expected = "value"
    while True:
        if space := (yield from reader.whole_run(SPACE)):
            tell(space)
        char = yield from reader.peek()
        if not char:
            raise NoCall
        closes = bool(ends) and char == ends[-1] and expected in ("first", "after")
        if closes:
            ends.pop()
            _take(reader, char, tell)
            expected = "after"
        elif expected == "after":
            _check(bool(ends) and char == ",")
            _take(reader, char, tell)
            expected = "key" if ends[-1] == "}" else "value"
        elif expected == "key" or (expected == "first" and ends[-1] == "}"):
            yield from _string(reader, tell)
            yield from _colon(reader, tell)
            expected = "value"
        elif char in "{[":
            _check(len(ends) < MAX_DEPTH)
            ends.append("}" if char == "{" else "]")
            _take(reader, char, tell)
            expected = "first"
        else:
            yield from _string(reader, tell) if char == '"' else _scalar(reader, tell)
            expected = "after"
        if expected == "after" and not ends:
            return


def json_string(reader: Reader) -> Step[str]:
    """Take a JSON string. Returns what it says. Raises NoCall, also for half a character, which nobody can be sent."""
    parts: list[str] = []
    yield from _string(reader, parts.append)
    found: str = json.loads("".join(parts))
    _check(not any("\ud800" <= character <= "\udfff" for character in found))
    return found


def colon(reader: Reader) -> Step[None]:
    """Take a colon and the space around it. Raises NoCall."""
    yield from _colon(reader, lambda text: None)
    yield from reader.whole_run(SPACE)


def as_object(text: str) -> dict[str, Any]:
    """What the text of a JSON object says. Raises NoCall if it is none."""
    try:
        found = read_json(text)
    except ValueError:
        raise NoCall from None
    if not isinstance(found, dict):
        raise NoCall
    return found


def as_json(value: Any) -> str:
    """A value as JSON that can be sent as UTF-8. Raises NoCall for what JSON has not: an endless number."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise NoCall from None
    return text


def _check(fits: bool) -> None:
    if not fits:
        raise NoCall


def _take(reader: Reader, char: str, tell: Tell) -> None:
    tell(char)
    reader.advance()


def _colon(reader: Reader, tell: Tell) -> Step[None]:
    if space := (yield from reader.whole_run(SPACE)):
        tell(space)
    yield from reader.expect(":")
    tell(":")


def _scalar(reader: Reader, tell: Tell) -> Step[None]:
    text = yield from reader.whole_run(_SCALAR)
    _check(_WHOLE_SCALAR.fullmatch(text) is not None)
    tell(text)


def _string(reader: Reader, tell: Tell) -> Step[None]:
    yield from reader.expect('"')
    tell('"')
    while True:
        if text := (yield from reader.run(_PLAIN)):
            tell(text)
        elif text := (yield from reader.run(_CONTROLS)):
            tell(json.dumps(text)[1:-1])
        elif (yield from reader.take_one_of(('"',))):
            tell('"')
            return
        else:
            tell((yield from _escape(reader)))


def _escape(reader: Reader) -> Step[str]:
    yield from reader.expect("\\")
    char = yield from reader.peek()
    _check(bool(char) and char in '"\\/bfnrtu')
    reader.advance()
    if char != "u":
        return f"\\{char}"
    digits = ""
    while len(digits) < 4:
        digit = yield from reader.peek()
        _check(_HEX.fullmatch(digit) is not None)
        reader.advance()
        digits += digit
    return f"\\u{digits}"
