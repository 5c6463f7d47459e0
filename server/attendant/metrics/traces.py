"""The Prometheus collector of what becomes of spans."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class TraceMetrics:
    """Spans by what became of them. Fed from the event loop's thread and from the one that sends."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._spans = Counter(
            "attendant_trace_spans",
            "Spans of traces that were kept: sent to the collector, failed (it did not take them), or dropped "
            "(too many waited, or the server ended).",
            ("outcome",),
            registry=registry,
        )

    def add(self) -> None:
        """Create the series, so that they exist at 0."""
        for outcome in ("sent", "failed", "dropped"):
            self._spans.labels(outcome)

    def sent(self, count: int) -> None:
        """The collector has them."""
        self._spans.labels("sent").inc(count)

    def failed(self, count: int) -> None:
        """The collector could not be reached, or refused them."""
        self._spans.labels("failed").inc(count)

    def dropped(self, count: int) -> None:
        """There was no room, or no time left."""
        self._spans.labels("dropped").inc(count)
