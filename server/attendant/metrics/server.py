"""All Prometheus collectors of one server. Fed from the event loop's thread; names as dashboards for LLM servers know
them (vLLM's), with the prefix ``attendant_``."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from attendant.core.errors import AttendantError
from attendant.core.events import FailedEvent, FinishedEvent, StepStats
from attendant.core.objectives import ObjectivesByModel
from attendant.metrics.encoding import EncoderMetrics
from attendant.metrics.generation import Collectors, ModelMetrics
from attendant.metrics.objectives import ObjectiveCollectors, ObjectiveSeries
from attendant.metrics.outcomes import error_name, request_errors
from attendant.metrics.speech import SpeechMetrics

UNKNOWN_MODEL = ""  # requests that name no model of this server share one series, whatever they name


class Metrics:
    """The collectors of one server. ``registry``: a new one with the process's own collectors if None.
    ``objectives``: what is promised of models that generate.

    ``encoders``: those of models that encode. ``speech``: those of models that write what they hear.
    """

    def __init__(self, registry: CollectorRegistry | None = None, objectives: ObjectivesByModel | None = None) -> None:
        self._registry = CollectorRegistry() if registry is None else registry
        if registry is None:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)
        self._collectors = Collectors(self._registry)
        self._objectives = objectives or ObjectivesByModel()
        self._kept = ObjectiveCollectors(self._registry)
        self.encoders = EncoderMetrics(self._registry, [error_name(error) for error in request_errors()])
        self.speech = SpeechMetrics(self._registry)
        self._models: dict[str, ModelMetrics] = {}
        self._shown: set[str] = set()  # models whose readiness is told

    def add_model(self, model: str) -> None:
        """Create the series of ``model``, so that they exist at 0."""
        kept = ObjectiveSeries(self._kept, model, self._objectives.of(model))
        self._models[model] = ModelMetrics(self._collectors, model, kept)

    def models_ready(self, ready: Mapping[str, bool]) -> None:
        """Which models this server has, and whether each takes requests. Of those that are gone, what was counted
        stays."""
        for name in self._shown - ready.keys():
            self._collectors.model_ready.remove(name)
            if series := self._models.get(name):
                series.idle()
        for name, value in ready.items():
            self._collectors.model_ready.labels(name).set(value)
        self._shown = set(ready)

    def step(self, model: str, stats: StepStats) -> None:
        """One engine step. A few microseconds."""
        self._models[model].step(stats)

    def first_token(self, model: str, seconds: float) -> None:
        """A sequence's first token was delivered, ``seconds`` after its arrival."""
        series = self._models[model]
        series.generation_tokens.inc()
        series.first_token.observe(seconds)
        series.kept.first_token(seconds)

    def next_token(self, model: str, seconds: float) -> None:
        """A further token of a sequence was delivered, ``seconds`` after the one before."""
        series = self._models[model]
        series.generation_tokens.inc()
        series.inter_token.observe(seconds)
        series.kept.next_token(seconds)

    def finished(self, model: str, event: FinishedEvent) -> None:
        """A sequence ended without an error."""
        self._models[model].finished(event)

    def failed(self, model: str, event: FailedEvent) -> None:
        """A sequence that an engine had taken ended with an error."""
        series = self._models[model]
        series.usage(event.usage)
        series.failures[type(event.error)].inc()

    def refused(self, model: str, error: AttendantError) -> None:
        """A request was turned away at the door."""
        name = model if model in self._models else UNKNOWN_MODEL
        self._collectors.request_failure.labels(name, error_name(type(error))).inc()

    def render(self) -> tuple[bytes, str]:
        """The page that Prometheus reads, and its content type. Safe from any thread."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
