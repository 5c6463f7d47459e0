"""Grammars of answers that call tools, and of those that think first: composed from the pieces of formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attendant.core.answer_formats import HARMONY, AnswerFormats
from attendant.core.grammar import Grammar
from attendant.frontend.answers import harmony
from attendant.frontend.answers.formats import REASONING_MARKS
from attendant.frontend.answers.layouts import ARGUMENTS, LAYOUTS, NAME, Layout
from attendant.frontend.answers.written_arguments import python_arguments, xml_arguments

_TEXT = "TEXT: /(.|\\n)*/"
_SPACE = "SPACE: /[ \\n]{1,4}/"

_ONE_LINE = {"whitespace_flexible": False, "key_separator": ": ?", "item_separator": ", ?"}
"""How models write arguments: without line breaks, of which small ones would never make an end."""


@dataclass(frozen=True, slots=True)
class WantedCalls:
    """The calls that an answer may have, or must.

    Attributes:
        schemas: of the tools, by name.
        strict: names of those whose arguments have to fit in every detail; of the others, what a grammar cannot say
            about a schema is left out.
        forced: the answer is calls, and nothing else.
        several: it may be more than one.
    """

    schemas: Mapping[str, Mapping[str, Any]]
    strict: frozenset[str]
    forced: bool
    several: bool


def composed(
    formats: AnswerFormats,
    token_of: Callable[[str], int | None],
    calls: WantedCalls | None,
    answer: Grammar | None,
    *,
    thinks: bool,
    thinking: bool,
) -> Grammar:
    """The grammar of an answer: thoughts, if the model thinks, then calls, or what ``answer`` says, or any text.

    Args:
        formats: how calls and thoughts are written.
        token_of: the id of the token that is a mark; None if the mark is spelt like any text.
        calls: None: none. answer: of the text that an answer without calls has; None: any, or with ``calls`` forced
            none.
        thinks: thoughts come first, if the model likes. thinking: the prompt has begun them.
    """
    writer = _Writer(token_of)
    head = writer.head(formats, thinking=thinking) if thinks else ""
    body = writer.body(formats, calls, answer)
    rules = "\n".join([f"start: {head} ({body})", *writer.rules, _TEXT, _SPACE])
    said_as = "" if answer is None else answer.field
    if calls is not None:
        said_as = "tools"
    return Grammar("lark", rules, parts=tuple(writer.parts.items()), said_as=said_as)


class _Writer:
    """Collects the rules and the parts of a grammar."""

    def __init__(self, token_of: Callable[[str], int | None]) -> None:
        self._token_of = token_of
        self.rules: list[str] = []
        self.parts: dict[str, Grammar] = {}

    def head(self, formats: AnswerFormats, *, thinking: bool) -> str:
        """Thoughts, and the space behind them."""
        if formats.reasoning == HARMONY:
            begin = self._pieces((harmony.CHANNEL, "analysis", harmony.MESSAGE))
            end = self._pieces((harmony.END, harmony.START, "assistant"))
            return f"({begin} {self._up_to(harmony.END, end)})*"
        marks = REASONING_MARKS[formats.reasoning]
        thoughts = f"{self._up_to(marks.ends[0], self._pieces(marks.ends[:1]))} SPACE?"
        return thoughts if thinking else f"(SPACE? {self._pieces(marks.begins[:1])} {thoughts})?"

    def body(self, formats: AnswerFormats, calls: WantedCalls | None, answer: Grammar | None) -> str:
        """What follows the thoughts."""
        said = self._said(formats, answer)
        if calls is None:
            return said
        layout = LAYOUTS[formats.tools]
        if calls.forced:
            return self._group(layout, calls)
        if formats.tools == HARMONY:
            begin = self._pieces((harmony.CHANNEL, "commentary", harmony.MESSAGE))
            end = self._pieces((harmony.END, harmony.START, "assistant"))
            return f"({begin} TEXT {end})? {self._group(layout, calls)} | {said}"
        if answer is not None:
            return f"{self._group(layout, calls)} | {said}"
        return self._calls_in_text(layout, calls)

    def _said(self, formats: AnswerFormats, answer: Grammar | None) -> str:
        """What an answer without calls is."""
        text = "TEXT"
        if answer is not None:
            self.parts["answer"] = answer
            text = "@answer"
        if HARMONY not in (formats.tools, formats.reasoning):
            return text
        return f"{self._pieces((harmony.CHANNEL, 'final', harmony.MESSAGE))} {text}"

    def _group(self, layout: Layout, calls: WantedCalls) -> str:
        """Calls and what stands around them."""
        one = self._one_of(layout.call, layout, calls)
        more = f"({self._pieces(layout.between)} {one})*" if calls.several else ""
        return f"{self._pieces(layout.begin)} {one} {more} {self._pieces(layout.end)}"

    def _one_of(self, pieces: tuple[str, ...], layout: Layout, calls: WantedCalls) -> str:
        """A call of any of the tools, written as ``pieces``."""
        names = []
        for index, (name, schema) in enumerate(calls.schemas.items()):
            arguments = self._arguments(layout, f"arguments_{index}", schema, strict=name in calls.strict)
            places = {NAME: json.dumps(name), ARGUMENTS: arguments}
            written = [places[piece] if piece in places else self._pieces((piece,)) for piece in pieces]
            self.rules.append(f"call_{index}: {' '.join(written)}")
            names.append(f"call_{index}")
        return f"({' | '.join(names)})"

    def _calls_in_text(self, layout: Layout, calls: WantedCalls) -> str:
        """Calls, with text before, between and after them; text alone."""
        token = self._token_of(layout.lead)
        if token is None and (layout.lead == "[" or layout.lead.startswith("{")):  # without a mark, they are all
            self.rules.append("other: /[^{\\[ \\n](.|\\n)*/")
            return f"{self._group(layout, calls)} | other?"
        if layout.begin:
            rest = self._group(replace(layout, begin=layout.begin[1:]), calls)
        else:
            rest = self._one_of(layout.call[1:], layout, calls)
        if token is None:
            self.rules.append(f"lead[lazy]: TEXT {json.dumps(layout.lead)}")
            return f"(lead {rest})* TEXT"
        return f"(TEXT <[{token}]> {rest})* TEXT"

    def _arguments(self, layout: Layout, name: str, schema: Mapping[str, Any], *, strict: bool) -> str:
        if layout.arguments == "json":
            return self._schema(name, {"type": "object", **schema}, strict=strict)  # schemas need not say it
        write = python_arguments if layout.arguments == "python" else xml_arguments
        rules, schemas = write(name, schema)
        self.rules += rules
        for part, value in schemas.items():
            self._schema(part, value, strict=strict)
        return name

    def _schema(self, name: str, schema: Mapping[str, Any], *, strict: bool) -> str:
        options = {"x-guidance": {**_ONE_LINE, "lenient": not strict}}
        self.parts[name] = Grammar("json_schema", json.dumps({**options, **schema}), said_as="tools")
        return f"@{name}"

    def _pieces(self, pieces: Sequence[str]) -> str:
        """Texts and marks one after another."""
        found = []
        for piece in pieces:
            token = self._token_of(piece)
            found.append(json.dumps(piece) if token is None else f"<[{token}]>")
        return " ".join(found)

    def _up_to(self, mark: str, written: str) -> str:
        """Any text, then the mark that ends it."""
        if self._token_of(mark) is not None:
            return f"TEXT {written}"
        name = f"up_to_{len(self.rules)}"
        self.rules.append(f"{name}[lazy]: TEXT {json.dumps(mark)}")
        return name
