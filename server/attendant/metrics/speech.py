"""The Prometheus collectors of models that write what they hear. Each window is a sequence of the model besides, and
counted as one there."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

from attendant.metrics.labels import ModelNames
from attendant.metrics.outcomes import SUCCESS

WindowKind = Literal["speech", "silence", "partial"]


class SpeechMetrics:
    """What calls on recordings do, by model. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry, names: ModelNames) -> None:
        self._names = names

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"attendant_speech_{name}", text, ("model_name", *labels), registry=registry)

        self._requests = counter(
            "requests", "Recordings whose calls ended: success, cancelled, or the error.", "outcome"
        )
        self._sound = counter("audio_seconds", "Sound that was read, in seconds.")
        self._windows = counter(
            "windows", "Windows that were transcribed: with speech, without, or incomplete ones of streams.", "kind"
        )

    def add_model(self, model: str) -> None:
        """Create the series of ``model``, so that they exist at 0."""
        name = self._names.add(model)
        self._requests.labels(name, SUCCESS)
        self._sound.labels(name)
        for kind in ("speech", "silence", "partial"):
            self._windows.labels(name, kind)

    def sound(self, model: str, seconds: float) -> None:
        """Counts what was read of a recording."""
        self._sound.labels(self._names.of(model)).inc(seconds)

    def window(self, model: str, kind: WindowKind) -> None:
        """A window was transcribed."""
        self._windows.labels(self._names.of(model), kind).inc()

    def call(self, model: str, outcome: str) -> None:
        """A call ended. ``model``: empty if it named none of this server. ``outcome``: SUCCESS, ``cancelled``, or an
        error's name."""
        self._requests.labels(self._names.of(model), outcome).inc()
