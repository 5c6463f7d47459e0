"""Calls written as JSON objects with a name and arguments, alone or in arrays: {"name": "f", "arguments": {...}}."""

from __future__ import annotations

from collections.abc import Callable

from attendant.frontend.answers.json_text import as_object, colon, json_string, json_value
from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.told import Told

_ARGUMENTS = ("arguments", "parameters")
_BESIDE = ("id", "type", "index", "call_id")
"""What such objects may have besides, and what says nothing that is needed."""


def call_objects(reader: Reader, told: Told) -> Step[None]:
    """Take an object, or an array of them; then further ones with commas or semicolons between them, or nothing.

    Raises:
        NoCall: one cannot be read; those before it are told.
    """
    while True:
        yield from reader.whole_run(SPACE)
        if (yield from reader.take_one_of(("[",))):
            yield from _array(reader, told)
        else:
            yield from call_object(reader, told)
        reader.mark()
        yield from reader.whole_run(SPACE)
        yield from reader.take_one_of((";", ","))
        yield from reader.whole_run(SPACE)
        if (yield from reader.peek()) != "{":
            reader.give_back(reader.marked())
            reader.mark()
            return


def _array(reader: Reader, told: Told) -> Step[None]:
    while True:
        yield from reader.whole_run(SPACE)
        yield from call_object(reader, told)
        reader.mark()
        yield from reader.whole_run(SPACE)
        if not (yield from reader.take_one_of((",",))):
            break
    if (yield from reader.peek()):  # an answer may end before the array does
        yield from reader.expect("]")


def call_object(reader: Reader, told: Told) -> Step[None]:
    """Take an object that is a call. Its arguments are told as they come once the name is known.

    Raises:
        NoCall: it cannot be read. It looks like a call if it has arguments or names a tool.
    """
    found = _Found(told)
    try:
        yield from reader.expect("{")
        more = True
        while more:
            yield from reader.whole_run(SPACE)
            key = yield from json_string(reader)
            yield from colon(reader)
            yield from found.value(key, reader)
            yield from reader.whole_run(SPACE)
            more = bool((yield from reader.take_one_of((",",))))
        yield from reader.expect("}")
        found.end()
    except NoCall:
        raise NoCall(looks=found.looks) from None


class _Found:
    """What is known of a call while its object is read."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._name = ""
        self._held: list[str] | None = None  # arguments that came before the name
        self._begun = False
        self._has_arguments = False

    @property
    def looks(self) -> bool:
        """Whether what was read looks like a call."""
        known = self._told.tools.schemas is not None and self._told.tools.knows(self._name)
        return self._has_arguments or known

    def value(self, key: str, reader: Reader) -> Step[None]:
        """Take the value of a key. Raises NoCall."""
        if key in ("name", "function") and not self._name:
            self._name = yield from json_string(reader)
            if self._held is not None:
                self._begin()
                self._told.arguments("".join(self._held))
        elif key in _ARGUMENTS and not self._has_arguments:
            self._has_arguments = True
            if self._name:
                self._begin()
                yield from self._arguments(reader, self._told.arguments)
            else:
                self._held = []
                yield from self._arguments(reader, self._held.append)
        elif key in _BESIDE:
            yield from json_value(reader, lambda text: None)
        else:
            raise NoCall

    def end(self) -> None:
        """The object is whole. Raises NoCall."""
        if not self._begun:
            self._begin()
            self._told.arguments("{}")
        self._told.end_call()

    def _begin(self) -> None:
        self._told.begin_call(self._name)
        self._begun = True

    def _arguments(self, reader: Reader, tell: Callable[[str], None]) -> Step[None]:
        """An object; or one in a string, as some models write it, or null for an empty one."""
        match (yield from reader.peek()):
            case "{":
                yield from json_value(reader, tell)
            case '"':
                text = yield from json_string(reader)
                as_object(text)
                tell(text)
            case _:
                yield from reader.expect("null")
                tell("{}")
