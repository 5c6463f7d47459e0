"""What the text of an answer has to be like, as a call asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

GrammarKind = Literal["json_object", "json_schema", "regex", "choice", "lark", "gbnf"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """The texts that an answer may be.

    Attributes:
        kind: "json_object": any JSON object. "json_schema": JSON that fits a schema. "regex": what an expression
            matches as a whole. "choice": one of some texts. "lark", "gbnf": what a context-free grammar describes,
            written as Lark (as llguidance extends it: ``%json {...}`` for a schema, ``<name>`` for a special token) or
            as llama.cpp's GBNF.
        text: the schema as JSON, the expression, or the grammar; empty for "json_object" and "choice".
        choices: of "choice".
        parts: other grammars by name, which a text of "lark" calls ``@name``.
        said_as: the field of a call that asks for it, if that is not the grammar's own.
    """

    kind: GrammarKind
    text: str = ""
    choices: tuple[str, ...] = ()
    parts: tuple[tuple[str, Grammar], ...] = ()
    said_as: str = ""

    @property
    def field(self) -> str:
        """What errors about it call it."""
        return self.said_as or f"grammar.{self.kind}"


def notation_of(text: str) -> Literal["lark", "gbnf"]:
    """The notation of a grammar that others' contracts send without saying it."""
    return "gbnf" if "::=" in text else "lark"


STRUCTURED: Mapping[str, str] = MappingProxyType(
    {
        "json": "a JSON schema, as an object or a text",
        "regex": "a regular expression",
        "choice": "a list of texts, at least one",
        "grammar": "a grammar, as Lark or GBNF",
        "json_object": "true",
    }
)
"""The kinds of grammars of vLLM's structured outputs, and what each may be."""


def structured(kind: str, value: Any) -> Grammar | None:
    """The grammar that vLLM's structured outputs say by a value of a kind; None where :data:`STRUCTURED` does not allow
    it."""
    match kind, value:
        case "json_object", True:
            return Grammar("json_object")
        case "json", dict():
            return Grammar("json_schema", json.dumps(value, ensure_ascii=False))
        case "json", str():
            return Grammar("json_schema", value)
        case "regex", str():
            return Grammar("regex", value)
        case "grammar", str():
            return Grammar(notation_of(value), value)
        case "choice", list() | tuple() if value and all(isinstance(each, str) for each in value):
            return Grammar("choice", choices=tuple(value))
    return None
