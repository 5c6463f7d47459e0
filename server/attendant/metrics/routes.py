"""The Prometheus collectors of routes. Their labels are names in a file of the operator's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from attendant.metrics.outcomes import SUCCESS

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
DISTANCES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0)

ShadowOutcome = Literal["equal", "different", "failed", "dropped", "skipped"]
SHADOW_OUTCOMES: tuple[ShadowOutcome, ...] = ("equal", "different", "failed", "dropped", "skipped")
Measure = Literal["length", "label", "score"]
MEASURES: tuple[Measure, ...] = ("length", "label", "score")
RELOADS = ("done", "refused")


class RouteMetrics:
    """What routes do. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "attendant_route_requests",
            "Calls that a route led to a target (a model, another route, or a step), as they ended: success, "
            "cancelled, or the error. Those that it refused have no target.",
            ("route", "target", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "attendant_route_seconds",
            "Time that a target of a route took for a call, to its last word: a model, a member of an ensemble, a step "
            "of a pipeline.",
            ("route", "target"),
            buckets=SECONDS,
            registry=registry,
        )
        self._shadows = Counter(
            "attendant_shadow_requests",
            "Calls that a shadow got, too: its answer was equal or different; it failed; dropped, as others ran still; "
            "skipped, as sound that comes in pieces is not kept.",
            ("route", "target", "outcome"),
            registry=registry,
        )
        self._distance = Histogram(
            "attendant_shadow_distance",
            "How far the answer of a shadow was from the one that the caller got, 0 to 1: the difference of lengths as "
            "a share of the longer one, the share of inputs with another first label, the largest difference of a "
            "score.",
            ("route", "target", "measure"),
            buckets=DISTANCES,
            registry=registry,
        )
        self._ready = Gauge(
            "attendant_route_ready", "Whether a route takes calls (1) or not (0).", ("route",), registry=registry
        )
        self._reloads = Counter(
            "attendant_routes_reloads",
            "Times that the routes file was read again (SIGHUP): done, or refused, when the routes stay as they were.",
            ("outcome",),
            registry=registry,
        )
        for outcome in RELOADS:
            self._reloads.labels(outcome)
        self._shown: set[str] = set()

    def add(self, route: str, target: str) -> None:
        """Create the series of a target that answers, so that they exist at 0."""
        self._requests.labels(route, target, SUCCESS)
        self._seconds.labels(route, target)

    def add_shadow(self, route: str, target: str) -> None:
        """Create the series of a shadow, so that they exist at 0."""
        for outcome in SHADOW_OUTCOMES:
            self._shadows.labels(route, target, outcome)
        for measure in MEASURES:
            self._distance.labels(route, target, measure)

    def ended(self, route: str, target: str, outcome: str, seconds: float | None = None) -> None:
        """A call ended at a target. ``outcome``: SUCCESS, ``cancelled`` or an error's name; ``seconds``: it took, of
        one that succeeded."""
        self._requests.labels(route, target, outcome).inc()
        if seconds is not None:
            self._seconds.labels(route, target).observe(seconds)

    def shadow(
        self, route: str, target: str, outcome: ShadowOutcome, distances: Mapping[Measure, float] | None = None
    ) -> None:
        """A shadow's call ended, or did not begin."""
        self._shadows.labels(route, target, outcome).inc()
        for measure, distance in (distances or {}).items():
            self._distance.labels(route, target, measure).observe(distance)

    def ready(self, routes: Iterable[tuple[str, bool]]) -> None:
        """Which routes there are, and whether each takes calls."""
        told = dict(routes)
        for name in self._shown - told.keys():
            self._ready.remove(name)
        for name, value in told.items():
            self._ready.labels(name).set(value)
        self._shown = set(told)

    def reloaded(self, outcome: Literal["done", "refused"]) -> None:
        """The routes file was read again."""
        self._reloads.labels(outcome).inc()
