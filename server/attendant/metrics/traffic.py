"""The Prometheus collector of calls that are recorded."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

OUTCOMES = ("written", "dropped", "too_large", "failed")


class RecordMetrics:
    """What becomes of calls that are to be recorded. May be fed from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "attendant_recorded_calls",
            "Calls that were to be recorded (record.file): written; dropped, as too many waited; too_large for a file; "
            "failed, as the file could not be written.",
            ("outcome",),
            registry=registry,
        )
        for outcome in OUTCOMES:
            self._calls.labels(outcome)

    def call(self, outcome: str) -> None:
        """One call: an outcome of :data:`OUTCOMES`."""
        self._calls.labels(outcome).inc()
