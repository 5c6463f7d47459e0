"""Turns a call into validated sampling parameters, filling in the model's defaults."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TypeVar

from attendant.bundle import GenerationDefaults
from attendant.bundle.graph_io import PACKED
from attendant.core.beams import BeamParams
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.sampling import LengthDecay, SamplingParams
from attendant.engine.facts import EngineFacts
from attendant.frontend.generation.call_settings import NUMBERS
from attendant.frontend.generation.prompts import Prepared
from attendant.models.generators import GeneratorPart

Value = TypeVar("Value", int, float)

_SEED_STEP = 0xD1342543DE82EF95  # odd, so that the seeds of a call's sequences never meet


def sampling_params(
    call: GenerationCall, settings: GenerationDefaults, model: GeneratorPart, prepared: Prepared
) -> SamplingParams:
    """Parameters of a call's first sequence; ``settings`` are what :func:`call_settings` found.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    max_tokens = _max_tokens(call, settings, model, prepared)
    least = settings.min_tokens or max(0, settings.min_length - len(prepared.prompt))
    opening = prepared.opening
    if len(prepared.prompt) == 1 and not (settings.forced_first is None and call.forced_first is None):
        opening = () if settings.forced_first is None else ((settings.forced_first,),)
    decay, eos = settings.length_decay, model.manifest.special_tokens.eos
    reads = settings.encoder_no_repeat_ngram_size or settings.encoder_repetition_penalty != 1
    renormalize = call.beam_search.renormalize if call.beam_search is not None else None
    params = SamplingParams(
        **{name: getattr(settings, name) for name in NUMBERS},
        max_tokens=max_tokens,
        min_tokens=call.min_tokens or min(least, max_tokens),
        stop_token_ids=tuple(call.stop_token_ids),
        ignore_eos=call.ignore_eos,
        presence_penalty=call.presence_penalty or 0.0,
        frequency_penalty=call.frequency_penalty or 0.0,
        logit_bias=dict(call.logit_bias or {}),
        seed=secrets.randbits(64) if call.seed is None else call.seed,
        logprobs=call.logprobs,
        opening=opening,
        suppressed=settings.suppressed,
        suppressed_first=settings.begin_suppress_tokens,
        forced_last=settings.forced_last,
        sequence_bias=settings.biases,
        banned=settings.banned,
        source_tokens=_source_tokens(prepared) if reads else (),
        length_decay=LengthDecay(*decay, eos) if decay is not None and eos and decay[1] != 1 else None,
        renormalize=settings.renormalize if renormalize is None else renormalize,
    )
    params.validate(model.manifest.vocab_size)
    return params


def _max_tokens(call: GenerationCall, settings: GenerationDefaults, model: GeneratorPart, prepared: Prepared) -> int:
    """As the call says, or the model's settings, or as many as there is room for."""
    if call.max_tokens is not None:
        return call.max_tokens
    length = len(prepared.prompt)
    room = model.context_length - length
    if settings.max_tokens is not None:
        return min(settings.max_tokens, room)
    if settings.max_length is None:
        return room
    if settings.max_length <= length:
        raise InvalidRequest(
            "max_tokens",
            f"is missing, and a prompt of {length} tokens leaves no room in {settings.max_length}, the greatest length "
            f"of prompt and answer in the model's own settings; allowed: 1 to {room}",
        )
    return min(settings.max_length - length, room)


def _source_tokens(prepared: Prepared) -> tuple[int, ...]:
    """What the encoder reads; without one the prompt; of a source that is no text, nothing."""
    if prepared.source is None:
        return prepared.prompt
    ids = prepared.source.arrays.get(PACKED.input_ids.name)
    return () if ids is None else tuple(ids.tolist())


def beam_params(
    call: GenerationCall,
    settings: GenerationDefaults,
    engine: EngineFacts,
    params: SamplingParams,
    prepared: Prepared,
) -> BeamParams | None:
    """Beam search as the call asks for it, or as the model's default where the call does not sample. ``engine``: one of
    the model's.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    asked = call.beam_search
    if asked is None and (params.temperature > 0 or call.logprobs):
        return None
    num_beams = asked.num_beams if asked is not None else settings.num_beams
    if num_beams == 1:
        return None
    beams = BeamParams(
        num_beams,
        call.n,
        _first(asked.length_penalty if asked else None, settings.length_penalty),
        (asked.early_stopping if asked else None) or settings.early_stopping,
    )
    if params.temperature > 0:
        raise InvalidRequest("temperature", f"is {params.temperature:g}; allowed with beam search: 0")
    if call.logprobs:
        raise InvalidRequest("logprobs", f"is {call.logprobs}; allowed with beam search: 0")
    beams.validate(engine.max_running)
    length = min(len(prepared.prompt) + params.max_tokens, engine.context_length)
    if (fitting := engine.max_sequences(length)) < num_beams:
        raise InvalidRequest("num_beams", f"is {num_beams}; allowed with answers of up to {length} tokens: {fitting}")
    return beams


def for_sequence(params: SamplingParams, index: int) -> SamplingParams:
    """The same parameters for sequence ``index`` of a call, with a seed of its own; index 0 keeps the call's."""
    return params if index == 0 else replace(params, seed=(params.seed + index * _SEED_STEP) % 2**64)


def _first(value: Value | None, default: Value) -> Value:
    return default if value is None else value
