"""An answer that is given, and not chosen: what may be asked beside it, and how it becomes what the engine is told."""

from __future__ import annotations

from dataclasses import fields, replace

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.frontend.generation.prompts import Prepared, check_ids
from attendant.models.generators import GeneratorPart

_FIELD = "forced_answer"
_BESIDE = frozenset(
    (
        "model",
        "prompt",
        "ignore_eos",
        "logprobs",
        "translation",
        "whole",
        "keep_special_tokens",
        "no_default_settings",
        "receipt",
        "separate",
        "tool_format",
        "reasoning_format",
    )
)
"""What else a call may say: nothing of it chooses a token, or ends the answer before its last one."""


def forced(call: GenerationCall, model: GeneratorPart, prepared: Prepared) -> tuple[GenerationCall, Prepared]:
    """The call and its prompt, so that its answer is the one that it gives, if it does: an opening as long as that.

    Raises:
        InvalidRequest: the answer cannot come like this, or the call says how tokens are chosen.
    """
    answer = call.forced_answer
    if answer is None:
        return call, prepared
    for field in fields(GenerationCall):
        if field.name not in _BESIDE and field.name != _FIELD and getattr(call, field.name) != field.default:
            raise InvalidRequest(
                field.name, f"says how an answer is chosen or ends, and {_FIELD} gives it; leave it out"
            )
    room = model.context_length - len(prepared.prompt)
    if not 1 <= len(answer) <= room:
        raise InvalidRequest(
            _FIELD, f"has {len(answer)} tokens; allowed after {len(prepared.prompt)} tokens of prompt: 1 to {room}"
        )
    check_ids(model, answer, _FIELD)
    ends = () if call.ignore_eos else model.manifest.special_tokens.eos
    for place, token in enumerate(answer[:-1]):
        if token in ends:
            raise InvalidRequest(
                f"{_FIELD}[{place}]",
                f"is {token}, which ends an answer, and {len(answer) - 1 - place} tokens follow; allowed: as the last "
                "one, or anywhere with ignore_eos",
            )
    opening = tuple([(token,) for token in answer])
    return replace(call, max_tokens=len(answer), no_default_settings=True), replace(prepared, opening=opening)
