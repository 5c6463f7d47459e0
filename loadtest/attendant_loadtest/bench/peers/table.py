"""The table of a comparison with peers: medians, and the ratios that the aims are about."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attendant_loadtest.bench.measurement import Measurement

OURS = "attendant"
Rounds = dict[str, list[Measurement]]
"""Measurements by way, round by round."""


@dataclass(frozen=True, slots=True)
class Aim:
    """``least``: a larger figure is better, and ours is to be so many times the best peer's; else at most so many."""

    ratio: float
    least: bool = True

    def met(self, ratio: float) -> bool:
        """Whether a ratio reaches it."""
        return ratio >= self.ratio if self.least else ratio <= self.ratio

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.ratio:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of all ways. ``ratio``: the median of the rounds' ratios of our best way to the best peer, which of
    both being best by their medians."""

    what: str
    figures: dict[str, float]
    ours: str
    best_peer: str
    ratio: float
    aim: Aim | None
    quiet: int


def row(what: str, rounds: Rounds, figure: Callable[[Measurement], float], aim: Aim | None, quiet: float) -> Row:
    """Compares. Rounds in which foreign processes used more than ``quiet`` processors count only if all are such.

    Args:
        rounds: of at least one way of ours and one peer.
    """
    count = min(map(len, rounds.values()))
    calm = [n for n in range(count) if max(found[n].others for found in rounds.values()) <= quiet]
    chosen = calm or range(count)
    values = {way: [figure(found[n]) for n in chosen] for way, found in rounds.items()}
    medians = {way: statistics.median(found) for way, found in values.items()}
    better = max if aim is None or aim.least else min
    ours = better((way for way in medians if way.startswith(OURS)), key=lambda way: medians[way])
    peer = better((way for way in medians if not way.startswith(OURS)), key=lambda way: medians[way])
    ratio = statistics.median(one / other for one, other in zip(values[ours], values[peer], strict=True))
    return Row(what, medians, ours, peer, ratio, aim, len(calm))


def table(rows: Sequence[Row]) -> str:
    """The table, for a terminal and for Markdown."""
    ways = list(dict.fromkeys(way for found in rows for way in found.figures))
    lines = [["", *ways, "our best / best peer", "aim", "met", "quiet rounds"]]
    lines.append(["---"] * len(lines[0]))
    for found in rows:
        cells = [_number(found.figures.get(way)) for way in ways]
        met = "" if found.aim is None else "yes" if found.aim.met(found.ratio) else "no"
        ratio = f"{found.ratio:.2f} ({found.ours.removeprefix(OURS).strip()} / {found.best_peer})"
        lines.append([found.what, *cells, ratio, str(found.aim or ""), met, str(found.quiet)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
