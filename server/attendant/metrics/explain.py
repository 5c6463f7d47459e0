"""The Prometheus collectors of calls that explain."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

from attendant.metrics.labels import ModelNames
from attendant.metrics.outcomes import SUCCESS

ExplainKind = Literal["attention", "attribute", "similarity"]
KINDS: tuple[ExplainKind, ...] = ("attention", "attribute", "similarity")


class ExplainMetrics:
    """What calls that explain do, by model. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry, names: ModelNames) -> None:
        self._names = names
        self._requests = Counter(
            "attendant_explain_requests",
            "Calls of the service Explain that ended: success, cancelled, or the error.",
            ("model_name", "kind", "outcome"),
            registry=registry,
        )
        self._seconds = Counter(
            "attendant_explain_run_seconds",
            "Time that attention took of a model's thread, beside the answers and batches of others.",
            ("model_name",),
            registry=registry,
        )

    def add_model(self, model: str) -> None:
        """Create the series of ``model``, so that they exist at 0."""
        name = self._names.add(model)
        for kind in KINDS:
            self._requests.labels(name, kind, SUCCESS)
        self._seconds.labels(name)

    def call(self, model: str, kind: ExplainKind, outcome: str) -> None:
        """A call ended. ``model``: empty if it named none of this server. ``outcome``: SUCCESS, ``cancelled``, or an
        error's name."""
        self._requests.labels(self._names.of(model), kind, outcome).inc()

    def ran(self, model: str, run_ns: int) -> None:
        """A job of ``model`` has ended, whose runs took so long together."""
        self._seconds.labels(self._names.of(model)).inc(run_ns / 1e9)
