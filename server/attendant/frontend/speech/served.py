"""A model that writes what it hears, as the calls on it see it."""

from __future__ import annotations

from attendant.frontend.admission import Gate
from attendant.frontend.speech.model import SpeechModel
from attendant.metrics import SpeechMetrics
from attendant.models.generators import GeneratorPart


class ServedListener:
    """A speech model with its gate. Create it inside the running event loop.

    Attributes:
        gate: lets recordings in, whatever they are at. Their windows go through the gate of what generates besides.
    """

    def __init__(self, part: GeneratorPart, metrics: SpeechMetrics) -> None:
        self.model = SpeechModel(part)
        self.gate = Gate(part.name, what="recordings")
        metrics.add_model(part.name)
