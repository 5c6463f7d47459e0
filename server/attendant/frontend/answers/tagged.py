"""Formats that write calls as JSON objects behind a mark: Hermes and Qwen, Granite, Phi-4-mini, Mistral, Llama 3."""

from __future__ import annotations

from collections.abc import Sequence

from attendant.frontend.answers.call_objects import call_objects
from attendant.frontend.answers.json_text import json_value
from attendant.frontend.answers.python_calls import python_calls
from attendant.frontend.answers.reader import SPACE, NoCall, Reader, Step
from attendant.frontend.answers.told import Told


class Tagged:
    """Objects between two marks, the second of which may be missing."""

    def __init__(self, ends: Sequence[str] = ()) -> None:
        self._ends = tuple(ends)

    def __call__(self, reader: Reader, told: Told) -> Step[None]:
        """See :class:`attendant.frontend.answers.formats.Section`."""
        yield from call_objects(reader, told)
        if self._ends:
            yield from reader.whole_run(SPACE)
            yield from reader.take_one_of(self._ends)


def llama_section(reader: Reader, told: Told) -> Step[None]:
    """Objects; or after <|python_tag|> a call in Python's words, ``brave_search.call(query="...")``."""
    yield from reader.whole_run(SPACE)
    if (yield from reader.peek()) == "{":
        yield from call_objects(reader, told)
    else:
        yield from python_calls(reader, told, closes="")


def mistral_section(reader: Reader, told: Told) -> Step[None]:
    """An array of objects, as older templates write them; or a name, maybe an id, and the arguments: the newer
    ``name[ARGS]{...}``."""
    yield from reader.whole_run(SPACE)
    if (yield from reader.peek()) in ("[", "{"):
        yield from call_objects(reader, told)
        return
    parts: list[str] = []
    mark = yield from reader.until(("[CALL_ID]", "[ARGS]", "{"), parts.append)
    name = "".join(parts).strip()
    if mark == "[CALL_ID]":
        mark = yield from reader.until(("[ARGS]", "{"), lambda text: None)  # calls get ids of ours
    if not mark:
        raise NoCall(looks=told.tools.knows(name))
    told.begin_call(name)
    yield from named_arguments(reader, told, begun=mark == "{")
    told.end_call()


def named_arguments(reader: Reader, told: Told, *, begun: bool = False) -> Step[None]:
    """The arguments of a call whose name is told: an object. ``begun``: its brace is taken. Raises NoCall."""
    if begun:
        reader.give_back("{")
    yield from reader.whole_run(SPACE)
    if (yield from reader.peek()) != "{":
        raise NoCall
    yield from json_value(reader, told.arguments)
