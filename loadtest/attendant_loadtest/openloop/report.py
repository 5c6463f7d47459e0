"""Figures for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attendant_loadtest.openloop.figures import Figures, Times
from attendant_loadtest.openloop.measuring import Measured
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.samples import ANSWERED, OUTCOMES

FORMAT = 1
"""Version of the form of what machines read."""


@dataclass(frozen=True, slots=True)
class Report:
    """All runs of one command.

    Attributes:
        title: what was asked of what.
        asked: how, in the user's words: flags and their values.
        capacity: what attendant.capacity found; None: it was not looked for.
    """

    title: str
    asked: dict[str, str]
    objective: Objective | None
    runs: Sequence[Measured]
    capacity: dict[str, Any] | None = None

    def dictionary(self) -> dict[str, Any]:
        """For machines: times in milliseconds unless their name says seconds."""
        return {
            "format": FORMAT,
            "title": self.title,
            "asked": self.asked,
            "objective": asdict(self.objective) if self.objective else None,
            "runs": [
                {
                    "name": each.name,
                    **asdict(each.figures),
                    "bottleneck": each.figures.client.bottleneck or None,
                    "server": asdict(each.server) if each.server else None,
                }
                for each in self.runs
            ],
            "capacity": self.capacity,
        }


def lines(report: Report) -> Iterator[str]:
    """For people: a table of Markdown, and what has to be said of its rows."""
    heads, rows = table(report)
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---:' for _ in heads)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    for each in report.runs:
        yield from notes(each)


def table(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows. What a client that was late measured is not shown."""
    heads = (*_HEADS, *(("goodput", "met") if report.objective is not None else ()))
    return heads, [(*_counts(each.figures), *_measured(each.figures, report.objective)) for each in report.runs]


_HEADS = (
    *("offered", "answered", "requests/s", "tokens/s", "TTFT p50", "p90", "p99"),
    *("inter-token p50", "p99", "whole p50", "p99"),
)


def _counts(figures: Figures) -> tuple[str, ...]:
    return f"{figures.offered_per_s:.2f}/s", f"{figures.outcomes.get(ANSWERED, 0)} of {figures.requests}"


def _measured(figures: Figures, objective: Objective | None) -> tuple[str, ...]:
    if figures.client.bottleneck:
        return ("-",) * (len(_HEADS) - 2 + 2 * (objective is not None))
    return (
        f"{figures.completed_per_s:.2f}",
        f"{figures.tokens_per_s:.0f}",
        *_cells(figures.ttft, 50, 90, 99),
        *_cells(figures.itl, 50, 99),
        *_cells(figures.e2e, 50, 99),
        *((f"{figures.goodput_per_s or 0:.2f}/s", "yes" if figures.met else "no") if objective is not None else ()),
    )


def _cells(times: Times | None, *shares: int) -> tuple[str, ...]:
    return tuple(milliseconds(times.by_percentile[share]) if times else "" for share in shares)


def milliseconds(value: float) -> str:
    """A time as it is read easily."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def notes(each: Measured) -> Iterator[str]:
    """What has to be said of one run."""
    figures = each.figures
    if why := figures.client.bottleneck:
        yield (
            f"{each.name}: no figures, as the client was the bottleneck: {why}. Others may use its processors, or the "
            "server does: ask from another machine, or at a lower rate."
        )
        if figures.met:
            yield f"{each.name}: the objective was met all the same, as a late client makes nothing faster"
    if figures.stopped:
        yield f"{each.name}: broken off, as the objective was out of reach after {figures.seconds:.1f} s"
    for how, number in sorted(figures.outcomes.items()):
        if how != ANSWERED:
            yield f"{each.name}: {number} {how} ({OUTCOMES[how]})"
    for error, number in sorted(figures.errors.items(), key=lambda pair: -pair[1])[:5]:
        yield f"{each.name}: {number} times {error}"
