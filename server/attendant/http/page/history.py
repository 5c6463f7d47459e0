"""Keeps the last minutes of what was counted, and makes figures of them: points of charts, lines of the board."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attendant.metrics import ModelCounts

KEPT_S = 600.0
"""Seconds that a chart shows."""
BOARD_S = 300.0
"""Seconds that the figures of the board are about."""
POINT_S = 5.0
"""Seconds that a point of a chart is about."""
_SLACK_S = 0.1  # a timer is never early and often a little late
MOST_MODELS = 32
"""Models with figures; those beyond show their state alone."""

Point = dict[str, Any]


@dataclass(slots=True)
class Sample:
    """What was counted of each model at a time, in seconds of a clock that never goes back.

    ``point``: figures made of it, once somebody has asked for them.
    """

    at_s: float
    counts: Mapping[str, ModelCounts]
    point: Point | None = None


class History:
    """The last KEPT_S seconds. Belongs to the event loop.

    Args:
        read: what was counted so far, by model.
        clock: monotonic seconds.
    """

    def __init__(self, read: Callable[[], Mapping[str, ModelCounts]], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._samples: list[Sample] = []

    def take(self) -> None:
        """Copy what is counted now. One sample older than what is kept stays, as the begin of the first figures."""
        counts = self._read()
        now = Sample(self._clock(), dict(list(counts.items())[:MOST_MODELS]))
        self._samples.append(now)
        while len(self._samples) > 2 and self._samples[1].at_s < now.at_s - KEPT_S - POINT_S:
            del self._samples[0]

    def point(self) -> Point:
        """What charts show of the last sample: its age, and figures of each model over the POINT_S seconds before."""
        return self._told(self._samples[-1])

    async def points(self) -> list[Point]:
        """All points there are, oldest first; the first sample has none, as nothing is known of the time before.
        Others get their turn of the loop while they are made."""
        found = []
        for sample in self._samples[1:]:
            if sample.point is None:
                await asyncio.sleep(0)
            found.append(self._told(sample))
        return found

    def board(self) -> dict[str, Any]:
        """Figures of each model over BOARD_S seconds or as long as something is known, and how long that is."""
        sample = self._samples[-1]
        before = self._before(sample, BOARD_S)
        return {
            "window_s": round(sample.at_s - before.at_s, 1),
            "models": {name: _line(*_span(before, sample, name)) for name in sample.counts},
        }

    def _told(self, sample: Sample) -> Point:
        if sample.point is None:
            before = self._before(sample, POINT_S)
            sample.point = {name: _point(*_span(before, sample, name)) for name in sample.counts}
        return {"age_s": round(self._samples[-1].at_s - sample.at_s, 2), "models": sample.point}

    def _before(self, sample: Sample, seconds: float) -> Sample:
        """The newest sample that is about ``seconds`` older, or the oldest."""
        index = bisect_right(self._samples, sample.at_s - seconds + _SLACK_S, key=lambda older: older.at_s)
        return self._samples[max(index - 1, 0)]


def _span(before: Sample, sample: Sample, name: str) -> tuple[ModelCounts, float]:
    """What was counted of a model between two samples, and the seconds between them. A model that is new, or was
    loaded again, began at nothing."""
    counts, old = sample.counts[name], before.counts.get(name)
    return counts if old is None or old.kind != counts.kind else counts.since(old), sample.at_s - before.at_s


def _point(counts: ModelCounts, seconds: float) -> Point:
    return {
        "first_s": _rounded(counts.first.quantile(0.5)),
        "first_p99_s": _rounded(counts.first.quantile(0.99)),
        "each_s": _rounded(counts.each.quantile(0.5)),
        "each_p99_s": _rounded(counts.each.quantile(0.99)),
        "rate": _rounded(_ratio(counts.units, seconds)),
        "batch": _rounded(_ratio(counts.rows, counts.batches)),
        "kv": _rounded(counts.kv_usage),
        "running": counts.running,
        "waiting": counts.waiting,
        "refused": _rounded(counts.refused),
        "kept": _rounded(_kept(counts)),
    }


def _line(counts: ModelCounts, seconds: float) -> dict[str, Any]:
    """``speed``: tokens a second of one answer, by the median between two; of an encoder, the median of its runs is
    beside the median wait in ``first_s``."""
    each, first = counts.each.quantile(0.5), counts.first.quantile(0.5)
    encodes = counts.kind == "encode"
    if encodes:
        first = None if first is None or each is None else first + each
    return {
        "kind": counts.kind,
        "first_s": _rounded(first),
        "speed": _rounded(_ratio(counts.units, seconds) if encodes else _ratio(1.0, each or 0.0)),
        "success": _rounded(_ratio(counts.answered, counts.answered + counts.failed)),
        "per_minute": _rounded(_ratio(60 * (counts.answered + counts.failed), seconds)),
        "refused": _rounded(counts.refused),
        "running": counts.running,
        "waiting": counts.waiting,
        "kept": _rounded(_kept(counts)),
    }


def _kept(counts: ModelCounts) -> float | None:
    """The share of events that kept what is promised of them; None without a promise or without events."""
    promised = [
        (counts.first_kept, counts.first.total),
        (counts.each_kept, counts.each.total),
        (counts.answered_kept, counts.answered),
    ]
    told = [(kept, events) for kept, events in promised if kept is not None]
    return _ratio(sum(kept for kept, _ in told), sum(events for _, events in told))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _rounded(value: float | None) -> float | None:
    """To four digits: they travel each second."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
