"""How fast each model uses up what its objectives allow, and when that alerts: several windows, several speeds, as in
the Site Reliability Workbook, chapter 5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.prometheus.objectives import OBJECTIVES, Objective
from deploy.prometheus.rule import Alert, Record, Severity

BAD = "model:attendant_slo_bad:ratio_rate"
"""Share of events that were bad; the window follows."""
EVENTS = "model:attendant_slo_events:rate"
"""Events a second; the window follows."""
TARGET = "model:attendant_slo_target:max"
"""Share of events that has to be good."""
LEAST_EVENTS = 100
"""In the longer window: of fewer, one bad one is chance."""
HOURS = {"5m": 1 / 12, "30m": 0.5, "1h": 1, "2h": 2, "6h": 6, "1d": 24, "3d": 72}


@dataclass(frozen=True)
class Speed:
    """``factor`` times the speed that uses up a budget of 30 days in 30 days, over a long window (so that it matters)
    and over a short one (so that the alert ends soon after its cause)."""

    severity: Severity
    long: str
    short: str
    factor: float


SPEEDS = (
    Speed("page", "1h", "5m", 14.4),  # 2 % of the budget in an hour
    Speed("page", "6h", "30m", 6),  # 5 % in six hours
    Speed("ticket", "1d", "2h", 3),  # 10 % in a day
    Speed("ticket", "3d", "6h", 1),  # 10 % in three days
)


def burn_records() -> Iterator[Record]:
    """For each objective its target and, for each window, events a second and the share of them that is bad."""
    for objective in OBJECTIVES:
        labels = {"slo": objective.name}
        yield Record(TARGET, objective.target, labels)
        for window in HOURS:
            good, events = (query.replace("WINDOW", window) for query in (objective.good, objective.events))
            yield Record(BAD + window, f"clamp_min(1 - {good} / {events}, 0)", labels)
            yield Record(EVENTS + window, events, labels)


def burn_alerts() -> Iterator[Alert]:
    """For each objective one that pages and one that can wait."""
    for objective in OBJECTIVES:
        for severity, speed in (("page", "fast"), ("ticket", "steadily")):
            speeds = [speed for speed in SPEEDS if speed.severity == severity]
            yield Alert(
                name=objective.alert,
                severity="page" if severity == "page" else "ticket",
                query=" or ".join(f"({_burns(objective, speed)})" for speed in speeds),
                lasts="",
                summary=f"{{{{ $labels.model_name }}}} uses up its budget {speed}; promised: {objective.says}",
            )


def _burns(objective: Objective, speed: Speed) -> str:
    slo = f'{{slo="{objective.name}"}}'
    limit = f"{speed.factor:g} * (1 - {TARGET}{slo})"
    return (
        f"{BAD}{speed.long}{slo} > {limit} and {BAD}{speed.short}{slo} > {limit} "
        f"and {EVENTS}{speed.long}{slo} * {HOURS[speed.long] * 3600:g} >= {LEAST_EVENTS}"
    )
