"""A model that writes what it hears, as the calls on it see it."""

from __future__ import annotations

from attendant.frontend.admission import Gate
from attendant.frontend.speech.forecast import WindowForecast
from attendant.frontend.speech.model import SpeechModel
from attendant.metrics import SpeechMetrics
from attendant.models.generators import GeneratorPart


class ServedListener:
    """A speech model with its gate. Create it inside the running event loop.

    Args:
        predict: refuse recordings that would be late. end_hopeless: end those that can no longer be done.

    Attributes:
        gate: lets recordings in, whatever they are at. Their windows go through the gate of what generates besides.
        forecast: what its windows take.
    """

    def __init__(
        self, part: GeneratorPart, metrics: SpeechMetrics, *, predict: bool = True, end_hopeless: bool = True
    ) -> None:
        self.model = SpeechModel(part)
        self.gate = Gate(part.name, what="recordings")
        self.forecast = WindowForecast(part.name, predict=predict, end_hopeless=end_hopeless)
        metrics.add_model(part.name)
