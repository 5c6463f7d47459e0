"""The Prometheus collectors of what is promised: how often it was kept, and what it is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from attendant.core.objectives import Objective, Objectives
from attendant.core.request import Timings, Usage
from attendant.metrics.counts import value_of

_LABELS = ("model_name", "slo")


class ObjectiveCollectors:
    """Names and help texts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attained = Counter(
            "attendant_slo_attained",
            "Events within their objective: first tokens (ttft), further tokens (itl), sequences whose first token and "
            "whose mean time of the others were both (request), which is goodput, and calls on models that encode "
            "(latency).",
            _LABELS,
            registry=registry,
        )
        self.limit = Gauge("attendant_slo_limit_seconds", "Time that an objective allows.", _LABELS, registry=registry)
        self.target = Gauge(
            "attendant_slo_target_ratio",
            "Share of events that an objective wants within its time.",
            _LABELS,
            registry=registry,
        )


class ObjectiveSeries:
    """The series of one model that generates, looked up once. Without an objective it has none."""

    def __init__(self, collectors: ObjectiveCollectors, model: str, objectives: Objectives) -> None:
        self._ttft = _Watch(collectors, model, "ttft", objectives.ttft)
        self._itl = _Watch(collectors, model, "itl", objectives.itl)
        watched = objectives.ttft is not None or objectives.itl is not None
        self._request = collectors.attained.labels(model, "request") if watched else None

    def first_token(self, seconds: float) -> None:
        """A first token came, ``seconds`` after the request's arrival."""
        self._ttft.event(seconds)

    def next_token(self, seconds: float) -> None:
        """A further token came, ``seconds`` after the one before."""
        self._itl.event(seconds)

    def finished(self, timings: Timings, usage: Usage) -> None:
        """A sequence ended with an answer."""
        if self._request is None or not usage.completion_tokens:
            return
        others = usage.completion_tokens - 1
        pace_s = timings.decode_ns / 1e9 / others if others else 0.0
        if self._ttft.allows(timings.first_token_ns / 1e9) and self._itl.allows(pace_s):
            self._request.inc()

    def attained(self) -> tuple[float | None, float | None]:
        """How many first tokens, and how many further ones, were in time; None where nothing is promised of them."""
        return self._ttft.kept, self._itl.kept


class LatencySeries:
    """The series of one model that encodes, looked up once. Without an objective it has none."""

    def __init__(self, collectors: ObjectiveCollectors, model: str, objectives: Objectives) -> None:
        self._latency = _Watch(collectors, model, "latency", objectives.latency)

    def answered(self, seconds: float) -> None:
        """A call has its results, ``seconds`` after its arrival."""
        self._latency.event(seconds)

    @property
    def attained(self) -> float | None:
        """How many calls were in time; None where nothing is promised of them."""
        return self._latency.kept


class _Watch:
    """One objective of one model, or none."""

    def __init__(self, collectors: ObjectiveCollectors, model: str, kind: str, objective: Objective | None) -> None:
        self._limit_s = objective.seconds if objective is not None else float("inf")
        self._attained = None
        if objective is not None:
            self._attained = collectors.attained.labels(model, kind)
            collectors.limit.labels(model, kind).set(objective.seconds)
            collectors.target.labels(model, kind).set(objective.share)

    @property
    def kept(self) -> float | None:
        return None if self._attained is None else value_of(self._attained)

    def allows(self, seconds: float) -> bool:
        return seconds <= self._limit_s

    def event(self, seconds: float) -> None:
        if self._attained is not None and seconds <= self._limit_s:
            self._attained.inc()
