"""The Prometheus collectors of structured output."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

from attendant.metrics.labels import ModelNames

GrammarOutcome = Literal["cached", "compiled", "refused"]
OUTCOMES: tuple[GrammarOutcome, ...] = ("cached", "compiled", "refused")

COMPILE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class GrammarMetrics:
    """What becomes of the grammars of calls, by model. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry, names: ModelNames) -> None:
        self._names = names
        self._requests = Counter(
            "attendant_grammar_requests",
            "Calls with a grammar: it was known (cached), had to be compiled, or was refused.",
            ("model_name", "outcome"),
            registry=registry,
        )
        self._compile = Histogram(
            "attendant_grammar_compile_seconds",
            "Time to compile a grammar, refused ones included.",
            ("model_name",),
            registry=registry,
            buckets=COMPILE_BUCKETS,
        )

    def add_model(self, model: str) -> None:
        """Create the series of ``model``, so that they exist at 0."""
        name = self._names.add(model)
        for outcome in OUTCOMES:
            self._requests.labels(name, outcome)
        self._compile.labels(name)

    def asked(self, model: str, outcome: GrammarOutcome) -> None:
        """A call has brought a grammar."""
        self._requests.labels(self._names.of(model), outcome).inc()

    def compiled(self, model: str, seconds: float) -> None:
        """A grammar was compiled, or refused after so long."""
        self._compile.labels(self._names.of(model)).observe(seconds)
