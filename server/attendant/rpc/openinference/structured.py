"""What an answer has to be like, as vLLM's parameters say it: one of several kinds in an object."""

from __future__ import annotations

from attendant_proto.v1 import generation_pb2 as pb

from attendant.core.grammar import STRUCTURED, structured
from attendant.rpc.openinference.said import Said
from attendant.rpc.openinference.single import parsed

NAMES = ("structured_outputs", "guided_decoding")
"""Parameters that are such objects: vLLM's name, and the one before."""

_KINDS = f"an object with one of {', '.join(STRUCTURED)}"


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
    grammar = structured(kind, each)
    if grammar is None:
        allowed = STRUCTURED.get(kind, f"no such kind, but {_KINDS}")
        raise Said(each, f"{said.field}.{kind[:100]}").refusal(allowed)
    match grammar.kind:
        case "json_object":
            message.grammar.json_object = True
        case "choice":
            message.grammar.choice.texts.extend(grammar.choices)
        case name:
            setattr(message.grammar, name, grammar.text)
