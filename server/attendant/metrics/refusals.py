"""The Prometheus collector of how fast callers hear that there is no room or no time for them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

BUCKETS = (0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 2.5)


class RefusalMetrics:
    """Calls over gRPC that were refused. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._took = Histogram(
            "attendant_refusal_seconds",
            "From where a call is taken up to where it is refused for want of room or time (RESOURCE_EXHAUSTED): what "
            "a refusal costs the server. Calls over gRPC only.",
            ("protocol",),
            buckets=BUCKETS,
            registry=registry,
        ).labels("grpc")

    def refused(self, seconds: float) -> None:
        """A call was refused after so long."""
        self._took.observe(seconds)
