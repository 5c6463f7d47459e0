"""What a speech model hears, and the tokens that tell it what to do; Whisper's, as its folder describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attendant.bundle import AudioSource, Speech

from attendant_export.errors import SourceError
from attendant_export.seq2seq.rules import start_token
from attendant_export.settings.defaults import setting

_STRIDE = 2  # of the encoder's convolutions: frames a position
_TASKS = ("transcribe", "translate")


def audio_source(model: Any, features: Mapping[str, Any]) -> AudioSource:
    """What a speech model reads, by its config and ``features``, the content of preprocessor_config.json, or by
    Whisper's defaults."""
    config = model.config
    return AudioSource(
        max_length=config.max_source_positions,
        sampling_rate=features.get("sampling_rate", 16_000),
        num_mel_bins=config.num_mel_bins,
        num_frames=config.max_source_positions * _STRIDE,
        fft_length=features.get("n_fft", 400),
        hop_length=features.get("hop_length", 160),
    )


def speech_of(model: Any, tokens: Mapping[str, int]) -> Speech:
    """The section ``speech``; ``tokens``: ids of all tokens of the tokenizer.

    Raises:
        SourceError: a token is missing without which nothing can be asked.
    """
    multilingual = getattr(model.generation_config, "is_multilingual", None)
    languages = setting(model, "lang_to_id") or _special(tokens, r"<\|([a-z]{2,3})\|>")
    tasks = setting(model, "task_to_id") or _special(tokens, rf"<\|({'|'.join(_TASKS)})\|>")
    if multilingual is False or (multilingual is None and setting(model, "lang_to_id") is None):
        languages, tasks = {}, {}
    silent = setting(model, "no_timestamps_token_id")
    silent = tokens.get("<|notimestamps|>") if silent is None else silent
    start = tokens.get("<|startoftranscript|>", start_token(model))
    if silent is None or start is None:
        missing = "<|notimestamps|>" if silent is None else "<|startoftranscript|>"
        raise SourceError(f"neither the tokenizer nor generation_config.json has the token {missing}")
    return Speech(
        start_of_transcript=start,
        languages={name.strip("<|>"): int(token) for name, token in sorted(languages.items())},
        tasks={name: int(token) for name, token in sorted(tasks.items()) if name in _TASKS},
        no_timestamps=silent,
        first_timestamp=silent + 1,
        previous=tokens.get("<|startofprev|>"),
        no_speech=tokens.get("<|nospeech|>", tokens.get("<|nocaptions|>")),
        max_initial_timestamp=setting(model, "max_initial_timestamp_index"),
    )


def _special(tokens: Mapping[str, int], pattern: str) -> dict[str, int]:
    matches = ((re.fullmatch(pattern, token), index) for token, index in tokens.items())
    return {match[1]: index for match, index in matches if match is not None}
