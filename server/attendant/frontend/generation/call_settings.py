"""What holds for a call: what it says itself, else what the model's checkpoint says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attendant.bundle import GenerationDefaults, GeneratorManifest
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall

NUMBERS = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h"),
    *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
)
"""Settings that a call, a model and the parameters of a sequence have under the same name."""
_LISTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words", "sequence_bias", "length_decay")
_NONE = GenerationDefaults()


def call_settings(call: GenerationCall, manifest: GeneratorManifest) -> GenerationDefaults:
    """The model's settings with those of the call in their place; temperature and the like still unchecked.

    Raises:
        InvalidRequest: a token that the model has not, or more tokens than one where one is forced.
    """
    given: dict[str, Any] = {name: value for name in (*NUMBERS, *_LISTS) if (value := getattr(call, name)) is not None}
    for name in ("forced_first", "forced_last"):
        tokens = getattr(call, name)
        if tokens is not None:
            if len(tokens) > 1:
                raise InvalidRequest(name, f"has {len(tokens)} tokens; allowed: none or one")
            given[name] = next(iter(tokens), None)
            _check(name, tokens, manifest.vocab_size)
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        _check(name, getattr(call, name) or (), manifest.vocab_size)
    _check("bad_words", (token for word in call.bad_words or () for token in word), manifest.vocab_size)
    if call.stop:
        given["stop_strings"] = tuple(call.stop)
    settings = _NONE if call.no_default_settings else manifest.settings
    return settings.replaced(**given) if given else settings


def _check(field: str, tokens: Iterable[int], vocab_size: int) -> None:
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise InvalidRequest(field, f"has {token}; allowed: 0 to {vocab_size - 1}")
