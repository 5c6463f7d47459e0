"""What was counted of each model up to now, as numbers that can be taken from each other: what charts are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from prometheus_client import Counter, Histogram

from attendant.core.errors import InvalidRequest, ModelNotFound, NotPermitted, RequestCancelled, Unauthenticated
from attendant.metrics.outcomes import error_name, request_errors

Numbers = npt.NDArray[np.float64]

CALLERS_FAULTS = frozenset(
    error_name(error)
    for error in request_errors()
    if issubclass(error, InvalidRequest | ModelNotFound | NotPermitted | RequestCancelled | Unauthenticated)
) | {"cancelled"}
"""Ways to end that say nothing of the server."""
REFUSALS = frozenset({"overloaded", "queue_full", "would_be_late", "draining"})


@dataclass(frozen=True, slots=True)
class Times:
    """How many events took how long.

    ``bounds``: upper ends of the buckets in seconds, the last one infinite; ``counts``: events of each, [len(bounds)].
    """

    bounds: tuple[float, ...]
    counts: Numbers

    @classmethod
    def of(cls, histogram: Histogram) -> Times:
        """Those of one series, as they are now."""
        return cls(tuple(histogram._upper_bounds), np.array([bucket.get() for bucket in histogram._buckets]))

    @property
    def total(self) -> float:
        """Events together."""
        return float(self.counts.sum())

    def since(self, before: Times) -> Times:
        """Events after those of ``before``."""
        return replace(self, counts=self.counts - before.counts)

    def __add__(self, other: Times) -> Times:
        return replace(self, counts=self.counts + other.counts)

    def quantile(self, share: float) -> float | None:
        """Seconds that ``share`` of the events stayed below, evenly spread within a bucket as Prometheus's
        ``histogram_quantile`` has it; the last finite bound for events beyond it. None without events."""
        below = np.cumsum(self.counts)
        if below[-1] <= 0:
            return None
        rank = share * below[-1]
        index = int(np.searchsorted(below, rank))
        if index >= len(self.bounds) - 1:
            return self.bounds[-2]
        low = self.bounds[index - 1] if index else 0.0
        before = below[index - 1] if index else 0.0
        return float(low + (self.bounds[index] - low) * (rank - before) / (below[index] - before))


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """What was counted of one model since the server started, and what it is at.

    Attributes:
        kind: whether it generates or encodes.
        first: times to first tokens; of an encoder, of rows until their run begins.
        each: times between tokens; of an encoder, of runs.
        units: tokens generated, or rows computed.
        answered: sequences, or calls, that ended with an answer.
        failed: those that did not, without those that their callers spoiled or cancelled; ``refused`` are among them.
        batches: steps that advanced sequences, or runs. rows: sequences, or rows, of all of them.
        first_kept, each_kept: events of ``first`` and ``each`` within what is promised; None where nothing is.
        answered_kept: calls of an encoder within what is promised.
        running, waiting: sequences or rows, now.
        kv_usage: share of the KV memory that running sequences hold, now; None of an encoder.
    """

    kind: Literal["generate", "encode"]
    first: Times
    each: Times
    units: float
    answered: float
    failed: float
    refused: float
    batches: float
    rows: float
    running: int
    waiting: int
    kv_usage: float | None = None
    first_kept: float | None = None
    each_kept: float | None = None
    answered_kept: float | None = None

    def since(self, before: ModelCounts) -> ModelCounts:
        """What was counted after ``before``; what it is at stays."""
        return replace(
            self,
            first=self.first.since(before.first),
            each=self.each.since(before.each),
            units=self.units - before.units,
            answered=self.answered - before.answered,
            failed=self.failed - before.failed,
            refused=self.refused - before.refused,
            batches=self.batches - before.batches,
            rows=self.rows - before.rows,
            first_kept=_less(self.first_kept, before.first_kept),
            each_kept=_less(self.each_kept, before.each_kept),
            answered_kept=_less(self.answered_kept, before.answered_kept),
        )

    def plus(self, other: ModelCounts) -> ModelCounts:
        """Both together, of one model that encodes for several tasks, which have ``answered_kept`` in common."""
        return replace(
            self,
            first=self.first + other.first,
            each=self.each + other.each,
            units=self.units + other.units,
            answered=self.answered + other.answered,
            failed=self.failed + other.failed,
            refused=self.refused + other.refused,
            batches=self.batches + other.batches,
            rows=self.rows + other.rows,
            running=self.running + other.running,
            waiting=self.waiting + other.waiting,
        )


def _less(now: float | None, before: float | None) -> float | None:
    return None if now is None else now - (before or 0.0)


def value_of(counter: Counter) -> float:
    """The value of one series."""
    return float(counter._value.get())


def sum_of(histogram: Histogram) -> float:
    """What the events of one series add up to."""
    return float(histogram._sum.get())


def ends(outcomes: Iterable[tuple[str, float]]) -> tuple[float, float]:
    """Of counts by the way to end, those that failed and, of them, those that were refused."""
    failed = refused = 0.0
    for name, count in outcomes:
        if name not in CALLERS_FAULTS:
            failed += count
            refused += count if name in REFUSALS else 0.0
    return failed, refused
