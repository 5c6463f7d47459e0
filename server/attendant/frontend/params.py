"""Turns a call into validated sampling parameters, filling in the model's defaults."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TypeVar

from attendant.core.beams import BeamParams
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.sampling import SamplingParams
from attendant.frontend.prompts import Prepared
from attendant.models.repository import LoadedModel

Value = TypeVar("Value", int, float)

MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 256
MAX_SEQUENCES = 128
_SEED_STEP = 0xD1342543DE82EF95  # odd, so that the seeds of a call's sequences never meet


def sampling_params(call: GenerationCall, model: LoadedModel, prepared: Prepared) -> SamplingParams:
    """Parameters of a call's first sequence.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    defaults = model.manifest.generation_defaults
    answer = model.manifest.answer
    room = model.context_length - len(prepared.prompt)
    _check_stop_strings(call)
    _check_n(call, model)
    max_tokens = call.max_tokens
    if max_tokens is None:
        max_tokens = min(defaults.max_tokens or room, room)
    params = SamplingParams(
        max_tokens=max_tokens,
        min_tokens=call.min_tokens or min(defaults.min_tokens, max_tokens),
        stop_token_ids=tuple(call.stop_token_ids),
        ignore_eos=call.ignore_eos,
        temperature=_first(call.temperature, defaults.temperature),
        top_k=_first(call.top_k, defaults.top_k),
        top_p=_first(call.top_p, defaults.top_p),
        min_p=_first(call.min_p, defaults.min_p),
        repetition_penalty=_first(call.repetition_penalty, defaults.repetition_penalty),
        presence_penalty=call.presence_penalty or 0.0,
        frequency_penalty=call.frequency_penalty or 0.0,
        logit_bias=dict(call.logit_bias or {}),
        seed=secrets.randbits(64) if call.seed is None else call.seed,
        logprobs=call.logprobs,
        no_repeat_ngram_size=_first(call.no_repeat_ngram_size, defaults.no_repeat_ngram_size),
        opening=prepared.opening,
        suppressed=answer.suppressed if answer else (),
        suppressed_first=answer.suppressed_first if answer else (),
        forced_last=answer.forced_last if answer else None,
        timestamps=call.timestamps,
        asked_logprobs=call.asked_logprobs,
    )
    params.validate(model.manifest.vocab_size)
    return params


def beam_params(
    call: GenerationCall, model: LoadedModel, params: SamplingParams, prepared: Prepared
) -> BeamParams | None:
    """Beam search as the call asks for it, or as the model's default where the call does not sample.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    defaults, asked = model.manifest.generation_defaults, call.beam_search
    if asked is None and (params.temperature > 0 or call.logprobs):
        return None
    num_beams = asked.num_beams if asked is not None else defaults.num_beams
    if num_beams == 1:
        return None
    beams = BeamParams(
        num_beams,
        call.n,
        _first(asked.length_penalty if asked else None, defaults.length_penalty),
        (asked.early_stopping if asked else None) or defaults.early_stopping,
    )
    if params.temperature > 0:
        raise InvalidRequest("sampling.temperature", f"is {params.temperature:g}; allowed with beam search: 0")
    if call.logprobs:
        raise InvalidRequest("logprobs", f"is {call.logprobs}; allowed with beam search: 0")
    beams.validate(model.max_running // len(model.engines))
    length = min(len(prepared.prompt) + params.max_tokens, model.context_length)
    if (fitting := model.engines[0].max_sequences(length)) < num_beams:
        raise InvalidRequest(
            "beam_search.num_beams", f"is {num_beams}; allowed with answers of up to {length} tokens: {fitting}"
        )
    return beams


def for_sequence(params: SamplingParams, index: int) -> SamplingParams:
    """The same parameters for sequence ``index`` of a call, with a seed of its own; index 0 keeps the call's."""
    return params if index == 0 else replace(params, seed=(params.seed + index * _SEED_STEP) % 2**64)


def _first(value: Value | None, default: Value) -> Value:
    return default if value is None else value


def _check_stop_strings(call: GenerationCall) -> None:
    if len(call.stop) > MAX_STOP_STRINGS:
        raise InvalidRequest("stopping.stop", f"has {len(call.stop)} strings; allowed: at most {MAX_STOP_STRINGS}")
    for stop in call.stop:
        if not 0 < len(stop) <= MAX_STOP_LENGTH:
            raise InvalidRequest(
                "stopping.stop", f"has a string of {len(stop)} characters; allowed: 1 to {MAX_STOP_LENGTH}"
            )


def _check_n(call: GenerationCall, model: LoadedModel) -> None:
    allowed = min(MAX_SEQUENCES, model.max_requests)
    if not 1 <= call.n <= allowed:
        raise InvalidRequest("n", f"is {call.n}; allowed: 1 to {allowed}")
