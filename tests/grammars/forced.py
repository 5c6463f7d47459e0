"""`python -m tests.grammars.forced TOKENIZER.json` counts, along typical answers, the tokens that a grammar leaves no
choice about: as many steps a server would spare that took such tokens without one each."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from attendant.core.grammar import Grammar
from attendant.grammars.compiled import CompiledGrammar, GrammarLimits
from attendant.grammars.rule import GrammarRule
from attendant.grammars.words import GrammarWords
from tokenizers import Tokenizer

_PERSON = {
    "type": "object",
    "properties": {
        "full_name": {"type": "string"},
        "date_of_birth": {"type": "string", "format": "date"},
        "email_address": {"type": "string"},
        "number_of_children": {"type": "integer"},
        "favourite_colour": {"enum": ["red", "green", "blue"]},
    },
    "additionalProperties": False,
}
_PERSON["required"] = list(_PERSON["properties"])  # type: ignore[call-overload]
_ADA = {
    "full_name": "Ada Lovelace",
    "date_of_birth": "1815-12-10",
    "email_address": "ada@example.org",
    "number_of_children": 3,
    "favourite_colour": "green",
}
_CALL = {"type": "object", "properties": {"name": {"const": "get_weather"}, "arguments": {"type": "object",
    "properties": {"location": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["location", "unit"], "additionalProperties": False}}, "required": ["name", "arguments"],
    "additionalProperties": False}  # fmt: skip
_PARIS = {"name": "get_weather", "arguments": {"location": "Paris, France", "unit": "celsius"}}
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "a record": (_PERSON, _ADA),
    "five records": ({"type": "array", "items": _PERSON}, [_ADA] * 5),
    "a tool call": (_CALL, _PARIS),
}


def count(words: GrammarWords, schema: dict[str, Any], value: Any, *, spaces: bool) -> tuple[int, int]:
    """Tokens of the answer, and how many of them are forced."""
    options = {} if spaces else {"x-guidance": {"whitespace_flexible": False}}
    compiled = CompiledGrammar(Grammar("json_schema", json.dumps({**schema, **options})), words, GrammarLimits())
    rule, num_forced = GrammarRule(compiled, ()), 0
    text = json.dumps(value) if spaces else json.dumps(value, separators=(",", ":"))
    ids, rest = [], text.encode()
    while rest:
        mask = rule.mask(np.empty(0, np.int64))
        assert mask is not None
        assert mask.allowed is not None
        allowed = np.flatnonzero(np.unpackbits(mask.allowed, bitorder="little")).tolist()
        token = words.ll.tokenize_bytes(rest)[0]
        if token not in allowed:  # the tokenizer would spell further than the grammar's next word
            token = max(
                (each for each in allowed if rest.startswith(words.tokens[each])), key=lambda i: len(words.tokens[i])
            )
        num_forced += len(allowed) == 1
        ids.append(token)
        rule.accept(token)
        rest = rest[len(words.tokens[token]) :]
    assert rule.is_complete()
    return len(ids), num_forced


def main() -> int:
    """Count, for each case, with spaces as a model likes them and without any."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    words = GrammarWords(text, Tokenizer.from_str(text).get_vocab_size())
    for name, (schema, value) in CASES.items():
        for spaces in (True, False):
            tokens, forced = count(words, schema, value, spaces=spaces)
            kind = "spaces as the model likes" if spaces else "no spaces"
            print(f"{name}, {kind}: {forced} of {tokens} tokens are forced ({forced / tokens:.0%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
