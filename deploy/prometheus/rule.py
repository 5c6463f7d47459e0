"""What a rule of Prometheus is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["page", "ticket"]
"""``page``: somebody looks now. ``ticket``: somebody looks on the next working day."""


@dataclass(frozen=True)
class Record:
    """A series that Prometheus computes from others, with labels added."""

    name: str
    query: str
    labels: dict[str, str] = field(default_factory=dict)

    def rule(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        return {"record": self.name, "expr": self.query, "labels": dict(self.labels)}


@dataclass(frozen=True)
class Alert:
    """A condition that somebody has to know of.

    Attributes:
        query: gives a series for each thing that is amiss.
        lasts: how long that has to be so; empty if at once.
        summary: one line; may have Prometheus's templates of labels, ``{{ $labels.model_name }}``.
        labels: added to those of the series, besides the severity.
    """

    name: str
    severity: Severity
    query: str
    lasts: str
    summary: str
    labels: dict[str, str] = field(default_factory=dict)

    def rule(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.query,
            **({"for": self.lasts} if self.lasts else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": self.annotations(),
        }

    def annotations(self) -> dict[str, str]:
        """What goes with the alert: the summary, and where the runbook stands."""
        return {"summary": self.summary, "runbook": f"docs/alerts.md#{self.name.lower()}"}
