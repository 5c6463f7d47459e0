"""How tokens are chosen and answers end, as OpenAI's and vLLM's callers say it: fields that several calls share."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attendant.core.beams import EarlyStopping
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall
from attendant.core.metadata import nearest_priority
from attendant.core.salts import salted
from attendant.core.sampling import MAX_SEED
from attendant.http.api.bodies import ApiBody
from attendant.http.api.openai.refusals import Refusal, check_refused
from attendant.http.calls import of_this_call

MOST_TOKENS = 2**31 - 1
"""A greater maximum of tokens is no other: no context is so long."""


class PlainStreamOptions(ApiBody):
    """What every stream may have beside text."""

    include_obfuscation: bool | None = None


class SamplingBody(ApiBody):
    """OpenAI's own fields first, then those that vLLM's callers add. None: the model's own default."""

    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None

    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    min_tokens: int | None = None
    stop_token_ids: tuple[int, ...] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    bad_words: tuple[str, ...] | None = None
    use_beam_search: bool | None = None
    length_penalty: float | None = None
    early_stopping: bool | None = None
    priority: int | None = None
    cache_salt: str | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None

    spaces_between_special_tokens: bool | None = None
    allowed_token_ids: tuple[int, ...] | None = None
    prompt_logprobs: int | None = None
    logits_processors: Any = None
    vllm_xargs: Any = None
    kv_transfer_params: Any = None
    request_id: str | None = None

    structured_outputs: dict[str, Any] | None = None
    guided_json: Any = None
    guided_regex: str | None = None
    guided_choice: tuple[str, ...] | None = None
    guided_grammar: str | None = None
    guided_decoding_backend: str | None = None
    guided_whitespace_pattern: str | None = None


_REFUSED: Mapping[str, Refusal] = {
    "allowed_token_ids": Refusal("structured_outputs says what an answer may be"),
    "prompt_logprobs": Refusal("log-probabilities are those of an answer"),
    "logits_processors": Refusal(),
    "vllm_xargs": Refusal(),
    "kv_transfer_params": Refusal(),
    "request_id": Refusal("send it as the header x-request-id"),
    "guided_whitespace_pattern": Refusal(),
    "guided_decoding_backend": Refusal("", ("auto", "guidance", "llguidance")),
}


def sampling_fields(body: SamplingBody, n: int = 1) -> dict[str, Any]:
    """The fields of a GenerationCall that say how tokens are chosen and where a sequence ends.

    Args:
        n: sequences that the call asks for: with beam search also its beams, as vLLM has it.

    Raises:
        InvalidRequest: what this server does not do is asked for, or token ids are none.
    """
    check_refused(body, _REFUSED)
    if body.spaces_between_special_tokens is False:
        raise InvalidRequest("spaces_between_special_tokens", "is false; allowed: true")
    found: dict[str, Any] = {
        "temperature": body.temperature,
        "top_p": nucleus(body.top_p),
        "top_k": _top_k(body.top_k),
        "min_p": body.min_p,
        "repetition_penalty": body.repetition_penalty,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
        "logit_bias": _logit_bias(body.logit_bias),
        "seed": _seed(body.seed),
        "stop": stop_strings(body.stop),
        "stop_token_ids": body.stop_token_ids or (),
        "min_tokens": body.min_tokens or 0,
        "ignore_eos": bool(body.ignore_eos),
        "keep_special_tokens": body.skip_special_tokens is False,
        "bad_phrases": body.bad_words or (),
    }
    return found | _beams(body, n)


def context_of(body: SamplingBody) -> CallContext:
    """The context of the call that is being served. vLLM's callers say with lower numbers who is sooner; ours with
    higher ones, and there are fewer of them."""
    if body.priority is not None and abs(body.priority) > MOST_TOKENS:
        raise InvalidRequest("priority", f"is out of range; allowed: {-MOST_TOKENS} to {MOST_TOKENS}")
    context = salted(of_this_call(), body.cache_salt or "")
    return context if not body.priority else replace(context, priority=nearest_priority(-body.priority))


def check_stream_options(options: PlainStreamOptions | None, *, stream: bool) -> None:
    """Raises InvalidRequest where nothing streams, or a stream is to have what it cannot."""
    if options is None:
        return
    if not stream:
        raise InvalidRequest("stream_options", "is given; allowed: only with stream")
    if options.include_obfuscation:
        raise InvalidRequest("stream_options.include_obfuscation", "is true; allowed: false")


def stop_strings(stop: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """One string or several, as a tuple."""
    return (stop,) if isinstance(stop, str) else stop or ()


def most_tokens(asked: int | None) -> int | None:
    """A maximum of tokens; one that no context reaches is cut."""
    return None if asked is None else min(asked, MOST_TOKENS)


def nucleus(top_p: float | None) -> float | None:
    """The share of a nucleus. OpenAI's and Anthropic's goes down to 0, which is the most probable token alone."""
    return sys.float_info.min if top_p == 0 else top_p


def _beams(body: SamplingBody, n: int) -> dict[str, Any]:
    if not body.use_beam_search:
        if body.length_penalty not in (None, 1.0):
            raise InvalidRequest("length_penalty", f"is {body.length_penalty:g}; allowed without beam search: 1")
        if body.early_stopping:
            raise InvalidRequest("early_stopping", "is true; allowed without beam search: false")
        return {}
    stops: EarlyStopping | None = "first" if body.early_stopping else None
    beams: dict[str, Any] = {"beam_search": BeamCall(n, body.length_penalty, stops)}
    return beams if body.temperature is not None else beams | {"temperature": 0.0}


def _top_k(asked: int | None) -> int | None:
    """vLLM's callers say -1 where all are meant, which is 0 here; as many as no vocabulary has are all, too."""
    return asked if asked is None or asked < -1 else min(max(asked, 0), MOST_TOKENS)


def _seed(asked: int | None) -> int | None:
    """A seed as the engine has them. OpenAI's may be negative: each has a number of its own."""
    if asked is None or asked >= 0:
        return asked
    if asked < -(2**63):
        raise InvalidRequest("seed", f"is {asked}; allowed: {-(2**63)} to {MAX_SEED}")
    return asked % 2**64


def _logit_bias(asked: Mapping[str, float] | None) -> dict[int, float] | None:
    if not asked:
        return None
    for token in asked:
        if not (token.isascii() and token.isdecimal() and len(token) < 10):
            raise InvalidRequest("logit_bias", f"has a key {token[:60]!r}; allowed: ids of tokens")
    return {int(token): bias for token, bias in asked.items()}
