"""Tells an answer apart as its text comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.core.answer_formats import HARMONY, NONE, AnswerFormats
from attendant.frontend.answers.formats import REASONING_MARKS, TOOL_PARSERS, ToolFormat
from attendant.frontend.answers.harmony import MARKS, harmony
from attendant.frontend.answers.reader import ANYTHING, SPACE, NoCall, Reader, Step, without
from attendant.frontend.answers.reasoning import reasoning
from attendant.frontend.answers.told import Callables, Piece, Told


class AnswerParser:
    """One answer, told apart. The pieces of each kind joined do not depend on how the text was cut.

    Args:
        formats: how the model writes calls and reasoning; those that are not to be told apart are none.
        schemas: of the tools that may be called, by name; None: any tool.
        thinking: the prompt ends where thoughts have begun.
    """

    def __init__(
        self, formats: AnswerFormats, schemas: Mapping[str, Mapping[str, Any]] | None = None, *, thinking: bool = False
    ) -> None:
        tools = TOOL_PARSERS.get(formats.tools)
        self._told = Told(Callables(schemas, tools.id_length if tools is not None else 0))
        self._reader = Reader()
        self._work = _answer(self._reader, self._told, formats, thinking=thinking)
        next(self._work, None)

    @property
    def num_tool_calls(self) -> int:
        """Calls that are whole."""
        return self._told.num_calls

    @property
    def unparsed(self) -> bool:
        """Whether something of the text looks like a call and is none that can be read."""
        return self._told.unparsed

    @property
    def broken(self) -> set[int]:
        """Indices of calls of which pieces were told, and whose whole came as text in the end."""
        return self._told.broken

    def push(self, text: str) -> Piece:
        """More text of the answer. Returns what has become certain with it."""
        self._reader.feed(text)
        next(self._work, None)
        return self._told.take()

    def finish(self, *, cut: bool = False) -> Piece:
        """The answer has ended, or was ``cut``, so that a call that has begun is the beginning of one. Returns the rest
        of it."""
        self._reader.ended, self._told.cut = True, cut
        next(self._work, None)
        return self._told.take()


def marks_of(formats: AnswerFormats) -> frozenset[str]:
    """Texts of special tokens that a parser of these formats has to see."""
    if HARMONY in (formats.tools, formats.reasoning):
        return frozenset(MARKS)
    tools, thoughts = TOOL_PARSERS.get(formats.tools), REASONING_MARKS.get(formats.reasoning)
    found = frozenset() if tools is None else frozenset((*tools.sections, *tools.marks))
    return found if thoughts is None else found.union(thoughts.begins, thoughts.ends)


def _answer(reader: Reader, told: Told, formats: AnswerFormats, *, thinking: bool) -> Step[None]:
    if HARMONY in (formats.tools, formats.reasoning):
        yield from harmony(reader, told)
        return
    thoughts = REASONING_MARKS.get(formats.reasoning)
    if thoughts is not None:
        yield from reasoning(reader, told, thoughts, begun=thinking)
    tools = TOOL_PARSERS.get(formats.tools)
    if formats.tools == NONE or tools is None:
        yield from _all_text(reader, told)
        return
    if tools.bare:
        yield from _bare(reader, told, tools)
    yield from _text_and_calls(reader, told, tools)


def _all_text(reader: Reader, told: Told) -> Step[None]:
    while piece := (yield from reader.run(ANYTHING)):
        told.text(piece)


def _bare(reader: Reader, told: Told, tools: ToolFormat) -> Step[None]:
    """Calls without a mark, which only the beginning of an answer may be."""
    reader.mark()
    yield from reader.whole_run(SPACE)
    section = tools.bare.get((yield from reader.peek()))
    if section is None:
        told.text(reader.marked())
        return
    try:
        yield from section(reader, told)
        yield from reader.whole_run(SPACE)
        reader.marked()
    except NoCall as none:
        if told.no_call(reader.marked(), looks=none.looks):
            yield from reader.whole_run(ANYTHING)


def _text_and_calls(reader: Reader, told: Told, tools: ToolFormat) -> Step[None]:
    """Text, and calls behind their marks. Space around calls is not told."""
    marks = tuple(tools.sections)
    plain = without(" \t\n\r" + "".join(mark[0] for mark in marks))
    while True:
        if text := (yield from reader.run(plain)):
            told.text(text)
            continue
        reader.mark()
        yield from reader.whole_run(SPACE)
        mark = yield from reader.take_one_of(marks)
        if mark:
            try:
                yield from tools.sections[mark](reader, told)
                yield from reader.whole_run(SPACE)
                reader.marked()
            except NoCall:
                if told.no_call(reader.marked(), looks=True):
                    yield from reader.whole_run(ANYTHING)
            continue
        char = yield from reader.peek()
        reader.advance()
        told.text(reader.marked())
        if not char:
            return
