"""What steps cost, as engines have learnt it: what refusals are decided by, and what a simulation goes by."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from attendant.core.pace import NO_PACE, PARTS, Pace
from attendant.metrics.labels import ModelNames


class PaceMetrics:
    """The latest pace of each model; it is only read when somebody looks."""

    def __init__(self, registry: CollectorRegistry, names: ModelNames) -> None:
        self._names = names
        self._paces: dict[str, Pace] = {}
        self._cost = Gauge(
            "attendant_step_cost_seconds",
            "What each part of a step costs, as learnt from the latest ones: any step, one with prompts besides, a "
            "token of a prompt, a position it attends to, a row that decodes, a position it attends to, "
            "one fed otherwise.",
            ("model_name", "part"),
            registry=registry,
        )

    def told(self, model: str, pace: Pace) -> None:
        """An engine of the model has learnt this."""
        name = self._names.of(model)
        if name not in self._paces:
            for part in PARTS:
                self._cost.labels(name, part).set_function(partial(self._value, name, part))
        self._paces[name] = pace

    def forget(self, model: str) -> None:
        """No engine of the model is left."""
        name = self._names.of(model)
        if self._paces.pop(name, None) is not None:
            for part in PARTS:
                self._cost.remove(name, part)

    def _value(self, name: str, part: str) -> float:
        return float(getattr(self._paces.get(name, NO_PACE), part))
