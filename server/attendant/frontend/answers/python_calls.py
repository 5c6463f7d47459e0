"""Calls in Python's words, as Llama's pythonic format has them: [get_weather(city="Paris", days=3), get_time()]."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from attendant.frontend.answers.json_text import MAX_DEPTH, as_json
from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.told import Told

NAME = re.compile(r"[\w.-]+")
_PLAIN = re.compile(r"""[^"'\\()\[\]{},]+""")
_WORDS = {"true": True, "false": False, "null": None}
"""What JSON's words mean: models write them for Python's."""
_ESCAPES = "\\'\"abfnrtvxuU\n"
"""What Python reads after a backslash; before anything else the backslash is meant."""
_CLOSES = {"(": ")", "[": "]", "{": "}"}


def python_calls(reader: Reader, told: Told, *, closes: str = "]") -> Step[None]:
    """Take calls, parted by commas, up to ``closes``, which is taken; empty: a single call. Each argument is told when
    it is whole.

    Raises:
        NoCall: one cannot be read. It looks like a call if it names a tool.
    """
    while True:
        yield from reader.whole_run(SPACE)
        yield from _call(reader, told)
        reader.mark()
        if not closes:
            return
        yield from reader.whole_run(SPACE)
        if not (yield from reader.take_one_of((",",))):
            break
    if (yield from reader.peek()):
        yield from reader.expect(closes)


def _call(reader: Reader, told: Told) -> Step[None]:
    name = yield from reader.whole_run(NAME)
    if not told.tools.knows(name):
        name = name.removesuffix(".call")
    if not told.tools.knows(name) or not (yield from reader.take_one_of(("(",))):
        raise NoCall(looks=told.tools.schemas is not None and told.tools.knows(name))
    told.begin_call(name)
    told.arguments("{")
    names: set[str] = set()
    yield from reader.whole_run(SPACE)
    while not (yield from reader.take_one_of((")",))):
        key = yield from _argument_name(reader, names)
        text, end = yield from _value(reader)
        told.arguments(f"{', ' if len(names) > 1 else ''}{as_json(key)}: {as_json(_read(text))}")
        if end == ")":
            break
        yield from reader.whole_run(SPACE)
    told.arguments("}")
    told.end_call()


def _argument_name(reader: Reader, before: set[str]) -> Step[str]:
    key = yield from reader.whole_run(NAME)
    yield from reader.whole_run(SPACE)
    yield from reader.expect("=")
    if not key or key in before:
        raise NoCall
    before.add(key)
    return key


def _value(reader: Reader) -> Step[tuple[str, str]]:
    """The text of a value up to the comma or parenthesis that ends it, and that."""
    parts: list[str] = []
    closes: list[str] = []
    while True:
        if text := (yield from reader.run(_PLAIN)):
            parts.append(text)
            continue
        char = yield from reader.peek()
        if not char:
            raise NoCall
        if not closes and char in ",)":
            reader.advance()
            return "".join(parts), char
        if char in "\"'":
            yield from _quoted(reader, parts)
            continue
        reader.advance()
        parts.append(char)
        if char in _CLOSES:
            closes.append(_CLOSES[char])
            if len(closes) > MAX_DEPTH // 4:  # Python's own reader goes deeper for each
                raise NoCall
        elif char in ")]}" and (not closes or closes.pop() != char):
            raise NoCall


def _quoted(reader: Reader, parts: list[str]) -> Step[None]:
    """A string in one of Python's quotes; line breaks in it become escapes."""
    quote = yield from reader.take_one_of(('"""', "'''", '"', "'"))
    parts.append(quote)
    while True:
        char = yield from reader.peek()
        if not char:
            raise NoCall
        if (yield from reader.take_one_of((quote,))):
            parts.append(quote)
            return
        reader.advance()
        if char == "\\":
            after = yield from reader.peek()
            if not after:
                raise NoCall
            reader.advance()
            char = f"\\{after}" if after in _ESCAPES else f"\\\\{after}"
        parts.append({"\n": "\\n", "\r": "\\r", "\0": "\\0"}.get(char, char))


def _read(text: str) -> Any:
    """What a literal says, in JSON's types. Raises NoCall for anything else: names, sums, bytes, sets."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it has opinions on what it can read
            return _plain(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NoCall from None


def _plain(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=name) if name in _WORDS:
            return _WORDS[name]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_plain(part) for part in parts]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _plain(value) for key, value in zip(keys, values, strict=True)}
    raise NoCall


def _key(node: ast.expr | None) -> str:
    found = None if node is None else _plain(node)
    if not isinstance(found, str):
        raise NoCall
    return found
