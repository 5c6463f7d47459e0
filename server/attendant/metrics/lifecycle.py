"""The Prometheus collectors of models that hang, that die, and that are loaded anew."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from attendant.metrics.labels import ModelNames

CAME_BACK, FAILED = "came_back", "failed"


class LifecycleMetrics:
    """What became of models whose engines hang or die. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry, names: ModelNames) -> None:
        self._names = names
        self._restarts = Counter(
            "attendant_model_restarts",
            "Times that a model whose engine died was loaded anew: it serves again (came_back), or could not be loaded "
            "(failed).",
            ("model_name", "outcome"),
            registry=registry,
        )
        self._hangs = Counter(
            "attendant_model_hangs",
            "Times that a step or a batch of a model did not end within lifecycle.watchdog_s.",
            ("model_name",),
            registry=registry,
        )

    def add_model(self, model: str) -> None:
        """Create the series of ``model``, so that they exist at 0."""
        name = self._names.add(model)
        self._hangs.labels(name)
        for outcome in (CAME_BACK, FAILED):
            self._restarts.labels(name, outcome)

    def restarted(self, model: str, *, came_back: bool) -> None:
        """A model was loaded anew, or could not be."""
        self._restarts.labels(self._names.of(model), CAME_BACK if came_back else FAILED).inc()

    def hangs(self, model: str) -> None:
        """What a model is at does not end."""
        self._hangs.labels(self._names.of(model)).inc()
