"""The Prometheus collectors of who was turned away, and of how long the server's certificate is valid."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

REASONS = ("missing", "malformed", "unknown", "expired", "scope")


class SecurityMetrics:
    """Calls of callers who are not known, or may not make them. Fed from the event loop's thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refusals = Counter(
            "attendant_auth_refusals",
            "Calls that ended at the door, by why: missing (neither token nor certificate), malformed (no bearer "
            "token), unknown (nobody's token or certificate), expired, scope (the caller may not make such calls).",
            ("reason",),
            registry=registry,
        )
        self._expiry = Gauge(
            "attendant_tls_certificate_expiry_seconds",
            "When the server's certificate is not valid any more, in seconds since 1970; with TLS only.",
            ("file",),
            registry=registry,
        )

    def add(self) -> None:
        """Create the series of refusals, so that they exist at 0."""
        for reason in REASONS:
            self._refusals.labels(reason)

    def refused(self, reason: str) -> None:
        """A call ended at the door: a reason of :data:`REASONS`."""
        self._refusals.labels(reason).inc()

    def certificate(self, file: str, expires_s: float) -> None:
        """The server has a certificate from ``file``."""
        self._expiry.labels(file).set(expires_s)
