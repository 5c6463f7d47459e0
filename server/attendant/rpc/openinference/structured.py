"""What an answer has to be like, as vLLM's parameters say it: one of several kinds in an object."""

from __future__ import annotations

import json
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from attendant.core.grammar import notation_of
from attendant.rpc.openinference.said import Said
from attendant.rpc.openinference.single import parsed

NAMES = ("structured_outputs", "guided_decoding")
"""Parameters that are such objects: vLLM's name, and the one before."""

_KINDS = "an object with one of json, regex, choice, grammar, json_object"


def set_grammar(message: pb.GenerateRequest, said: Said) -> None:
    """Set the grammar of a request. An object that says nothing is as good as none.

    Raises:
        InvalidRequest: it says something else, or several things.
    """
    value = parsed(said.value, said.field, _KINDS) if isinstance(said.value, str) else said.value
    if not isinstance(value, dict):
        raise said.refusal(_KINDS)
    given = {name: each for name, each in value.items() if each is not None and each is not False}
    if not given:
        return
    if len(given) > 1:
        raise said.refusal(_KINDS)
    ((kind, each),) = given.items()
    _set(message.grammar, kind, each, Said(each, f"{said.field}.{kind[:100]}"))


def _set(grammar: pb.Grammar, kind: str, value: Any, said: Said) -> None:
    match kind, value:
        case "json_object", True:
            grammar.json_object = True
        case "json", dict():
            grammar.json_schema = json.dumps(value)
        case "json", str():
            grammar.json_schema = value
        case "regex", str():
            grammar.regex = value
        case "grammar", str():
            setattr(grammar, notation_of(value), value)
        case "choice", list() if value and all(isinstance(text, str) for text in value):
            grammar.choice.texts.extend(value)
        case _:
            raise said.refusal(_ALLOWED.get(kind, f"no such kind, but {_KINDS}"))


_ALLOWED = {
    "json_object": "true",
    "json": "a JSON schema, as an object or a text",
    "regex": "a regular expression",
    "grammar": "a grammar, as Lark or GBNF",
    "choice": "a list of texts, at least one",
}
