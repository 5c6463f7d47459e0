"""What became of the requests of a simulated run, and what that comes to."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from attendant.core.pace import StepWork

from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.schedule.planned import Planned

S = 1e9
PERCENTILES = (50, 90, 99)


class Fate(IntEnum):
    """How a request ended."""

    NONE = 0
    ANSWERED = 1
    REFUSED = 2
    LATE = 3
    CANCELLED = 4


class Log:
    """Takes down what happens, a row for each request. Times are nanoseconds from when the request was due."""

    def __init__(self, num_requests: int) -> None:
        self.fates = bytearray(num_requests)
        self.first_ns = array("q", bytes(8 * num_requests))
        self.last_ns = array("q", bytes(8 * num_requests))
        self.end_ns = array("q", bytes(8 * num_requests))
        self.tokens = array("l", bytes(array("l").itemsize * num_requests))
        self.cached = array("l", bytes(array("l").itemsize * num_requests))
        self.replicas = array("i", [-1]) * num_requests
        self.gaps_ns = array("q")
        self.gap = self.gaps_ns.append
        self.refusals: Counter[str] = Counter()
        self.num_steps = self.num_decoding = self.busy_ns = self.rows = 0

    def refused(self, number: int, replica: int, why: str) -> None:
        """A request was refused at the door."""
        self._fate(number, replica, Fate.REFUSED)
        self.refusals[why] += 1

    def ended(
        self,
        number: int,
        replica: int,
        how: Fate,
        *,
        first_ns: int,
        last_ns: int,
        end_ns: int,
        tokens: int,
        cached: int,
    ) -> None:
        """A request ended. ``first_ns``, ``last_ns``: its first and last token, 0 for none."""
        self._fate(number, replica, how)
        self.first_ns[number], self.last_ns[number], self.end_ns[number] = first_ns, last_ns, end_ns
        self.tokens[number], self.cached[number] = tokens, cached

    def stepped(self, took_ns: int, work: StepWork) -> None:
        """A step of some replica is over."""
        self.num_steps += 1
        self.busy_ns += took_ns
        self.num_decoding += work.rows > 0
        self.rows += work.rows

    def _fate(self, number: int, replica: int, how: Fate) -> None:
        assert self.fates[number] == Fate.NONE, "every request ends once"
        self.fates[number] = how
        self.replicas[number] = replica


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run comes to, of the requests that were due from some moment on. Times are seconds, by percentile.

    Attributes:
        requests, answered, refused, late, cancelled: how many.
        per_s: answered requests a second, from when the first was due to the end of the last. tokens_per_s: tokens of
            answers likewise.
        goodput: share of all requests whose first token, and the mean time of the others, were in time.
        first_s: to the first token. each_s: of each request, the mean between two tokens. gap_s: between two tokens of
            any request, the first ones included that do not count otherwise. end_s: to the end.
        busy: share of all replicas' time in which a step ran.
        batch: rows of a step that decode, on average.
        cached: share of the prompts' tokens that was found in the cache.
        uneven: requests of the replica that got most by those of the mean.
        refusals: how many, by the name of the error.
    """

    requests: int
    answered: int
    refused: int
    late: int
    cancelled: int
    per_s: float
    tokens_per_s: float
    goodput: float
    first_s: dict[str, float]
    each_s: dict[str, float]
    gap_s: dict[str, float]
    end_s: dict[str, float]
    busy: float
    batch: float
    cached: float
    uneven: float
    refusals: dict[str, int] = field(default_factory=dict)


def figures(
    log: Log, schedule: Sequence[Planned], replicas: int, objective: Objective | None = None, warmup_s: float = 0.0
) -> Figures:
    """What a run came to, with so many replicas, of requests that were due after ``warmup_s`` seconds."""
    at_s = np.array([each.at_s for each in schedule])
    counted = at_s >= warmup_s
    fates = np.frombuffer(log.fates, np.uint8)
    first_s, last_s, end_s = (np.array(each) / S for each in (log.first_ns, log.last_ns, log.end_ns))
    tokens, prompts = np.array(log.tokens), np.array([each.prompt for each in schedule])
    answered = (fates == Fate.ANSWERED) & counted
    many = answered & (tokens > 1)
    each_s = (last_s - first_s) / np.maximum(tokens - 1, 1)
    good = answered.copy()
    if objective is not None and objective.ttft_s is not None:
        good &= first_s <= objective.ttft_s
    if objective is not None and objective.itl_s is not None:
        good &= ~many | (each_s <= objective.itl_s)
    ends_s = at_s + end_s
    span_s = max(float(ends_s[counted].max(initial=0.0) - at_s[counted].min(initial=ends_s.max(initial=0.0))), 1e-9)
    looked_up = counted & ((fates == Fate.ANSWERED) | (fates == Fate.CANCELLED))
    where = np.array(log.replicas)
    got = np.bincount(where[where >= 0], minlength=replicas)
    return Figures(
        requests=int(counted.sum()),
        answered=int(answered.sum()),
        refused=int(((fates == Fate.REFUSED) & counted).sum()),
        late=int(((fates == Fate.LATE) & counted).sum()),
        cancelled=int(((fates == Fate.CANCELLED) & counted).sum()),
        per_s=float(answered.sum()) / span_s,
        tokens_per_s=float(tokens[counted].sum()) / span_s,
        goodput=float(good.sum() / max(counted.sum(), 1)),
        first_s=_percentiles(first_s[answered]),
        each_s=_percentiles(each_s[many]),
        gap_s=_percentiles(np.array(log.gaps_ns) / S),
        end_s=_percentiles(end_s[answered]),
        busy=log.busy_ns / S / max(float(ends_s.max(initial=0.0)) * replicas, 1e-9),
        batch=log.rows / max(log.num_decoding, 1),
        cached=float(np.array(log.cached)[looked_up].sum() / max(prompts[looked_up].sum(), 1)),
        uneven=float(got.max(initial=0) / max(got.mean(), 1e-9)),
        refusals=dict(log.refusals),
    )


def _percentiles(values: np.ndarray) -> dict[str, float]:
    return {str(p): float(np.percentile(values, p)) if len(values) else 0.0 for p in PERCENTILES}
