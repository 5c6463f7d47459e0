"""Every notation of a grammar, as llguidance reads it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import gbnf_to_lark

from attendant.core.errors import InvalidRequest, TooLarge
from attendant.core.grammar import Grammar
from attendant.core.strict_json import read_json

_SPACE = r"\x20|\x0A[\x20\x09]{0,40}"
"""What may stand between two words of JSON: a space, or a line end and the next line's indentation. Where there may be
any, small models begin lines and never end."""
_MOST_SHOWN = 600
"""Characters of a library's words that an error repeats."""


def check_size(grammar: Grammar, max_bytes: int) -> None:
    """Raises TooLarge if the grammar's text, or its choices together, have more bytes."""
    size = _size(grammar)
    if size > max_bytes:
        raise TooLarge(grammar.field, f"has {size} bytes; allowed: at most {max_bytes}")


def _size(grammar: Grammar) -> int:
    own = sum(len(text.encode(errors="replace")) for text in (grammar.text, *grammar.choices))
    return own + sum(_size(part) for _, part in grammar.parts)


def refuse(grammar: Grammar, reason: object) -> NoReturn:
    """Raises InvalidRequest about the grammar."""
    raise InvalidRequest(grammar.field, f"cannot be used: {shortened(str(reason))}")


def shortened(text: str) -> str:
    """The words of an error, without what llguidance adds about its state."""
    text = text.removesuffix("<non-verbose/>").strip()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def notation(grammar: Grammar) -> str:
    """The grammar for llguidance. Whether it can be compiled shows when it is.

    Raises:
        InvalidRequest: it is not what its kind says.
    """
    match grammar.kind:
        case "json_object":
            return LLMatcher.grammar_from_json_schema({"type": "object"}, defaults={"whitespace_pattern": _SPACE})
        case "json_schema":
            return _of_schema(grammar)
        case "regex":
            return LLMatcher.grammar_from_regex(_written(grammar, grammar.text))
        case "choice":
            return _of_choices(grammar)
        case "lark":
            return _with_parts(grammar, LLMatcher.grammar_from_lark(_written(grammar, grammar.text)))
        case "gbnf":
            return LLMatcher.grammar_from_lark(_of_gbnf(grammar))


def _with_parts(grammar: Grammar, text: str) -> str:
    if not grammar.parts:
        return text
    named = [{**_entry(part), "name": name} for name, part in grammar.parts]
    return json.dumps({"grammars": [{"lark_grammar": text}, *named]})


def _entry(grammar: Grammar) -> dict[str, Any]:
    text = notation(grammar)
    if grammar.kind in ("choice", "lark", "gbnf"):
        return {"lark_grammar": text}
    found: dict[str, Any] = json.loads(text)["grammars"][0]
    return found


def _of_schema(grammar: Grammar) -> str:
    try:
        schema = read_json(_written(grammar, grammar.text))
    except ValueError as error:
        refuse(grammar, f"it is not JSON: {error}")
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        refuse(grammar, "it is no schema; allowed: an object, or true")
    options = schema.get("x-guidance")
    says_space = isinstance(options, dict) and not {"whitespace_pattern", "whitespace_flexible"}.isdisjoint(options)
    try:
        return LLMatcher.grammar_from_json_schema(
            schema, defaults=None if says_space else {"whitespace_pattern": _SPACE}
        )
    except (ValueError, RecursionError) as error:
        refuse(grammar, error)


def _of_choices(grammar: Grammar) -> str:
    if not grammar.choices:
        refuse(grammar, "it has no texts; allowed: at least one")
    texts = [json.dumps(_written(grammar, choice)) for choice in grammar.choices]
    return LLMatcher.grammar_from_lark(f"start: {' | '.join(texts)}")


def _of_gbnf(grammar: Grammar) -> str:
    try:
        return gbnf_to_lark(_written(grammar, grammar.text))
    except RecursionError:
        refuse(grammar, "it is nested too deeply")
    except Exception as error:  # noqa: BLE001 - the library raises bare exceptions, and others by mistake
        refuse(grammar, error)


def _written(grammar: Grammar, text: str) -> str:
    """The text, which has no halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        refuse(grammar, f"character {error.start} is half of a character that takes two (a lone surrogate)")
    return text
