"""Receipts of recordings: what held for all of their windows, and the sound that went in."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attendant.bundle import GenerationDefaults, GeneratorManifest
from attendant.core.receipt import Maker, Receipt, settings_text
from attendant.frontend.generation.call_settings import call_settings
from attendant.frontend.speech.calls import SpeechCall
from attendant.tasks.mel import Floats

_OFF = GenerationDefaults()


class SpeechReceipt:
    """The receipt of one call, while its recording is read.

    Args:
        call: whose ``how`` has a seed, see :func:`seeded`.
    """

    def __init__(self, maker: Maker, manifest: GeneratorManifest, call: SpeechCall) -> None:
        self._maker, self._call = maker, call
        self._settings = call_settings(call.how, manifest)
        self._sound = hashlib.sha256()

    def heard(self, samples: Floats) -> None:
        """Take further sound in, [n] float32 at the model's rate."""
        self._sound.update(samples.astype("<f4", copy=False).tobytes())

    def draft(self) -> Receipt:
        """The receipt without an output, which is known when the answer is on its way out."""
        text = settings_text(speech_settings(self._call, self._settings))
        seed = self._call.how.seed if self._settings.temperature > 0 else None
        return Receipt(self._maker, "speech", text, self._sound.hexdigest(), seed=seed)


def seeded(call: SpeechCall) -> SpeechCall:
    """The call with one seed for all of its windows, so that a receipt can name it."""
    if call.how.seed is not None:
        return call
    return replace(call, how=replace(call.how, seed=secrets.randbits(64)))


def speech_settings(call: SpeechCall, settings: GenerationDefaults) -> Mapping[str, Any]:
    """What holds for each window of a call, after its model's defaults."""
    names = type(settings).model_fields
    return {
        **{name: value for name in names if (value := getattr(settings, name)) != getattr(_OFF, name)},
        "task": call.task,
        "language": call.language,
        "timestamps": call.timestamps,
        "condition_on_previous_text": call.condition_on_previous_text,
        "keep_special_tokens": call.how.keep_special_tokens,
        "beam_search": call.how.beam_search,
        **({"prompt": call.prompt} if call.prompt else {}),
    }
