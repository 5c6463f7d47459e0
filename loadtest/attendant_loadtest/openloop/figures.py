"""What a run says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attendant_loadtest.openloop.loop import Run
from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.openloop.samples import ANSWERED, Sample

SHARES = (50, 90, 95, 99)
MOST_LATENESS_S = 0.01
"""A client that is later than this is the bottleneck, unless that is little beside what it measures."""
LITTLE = 0.1
MOST_BUSY = 0.9
"""A client that uses more of a processor is the bottleneck, too."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, by percentile (linear between two values); ``most`` is the greatest of them."""

    by_percentile: dict[int, float]
    mean: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float] | np.ndarray) -> Times | None:
        """None of no values."""
        values = np.asarray(seconds, np.float64) * 1e3
        if not len(values):
            return None
        found = np.percentile(values, SHARES).tolist()
        return cls(dict(zip(SHARES, found, strict=True)), float(values.mean()), float(values.max()))


@dataclass(frozen=True, slots=True)
class Client:
    """How late the client was itself.

    Attributes:
        lateness_ms: 99 of 100 requests were made, and of its other looks at the clock came, no later than so.
        most_ms: what is allowed.
        busy: the share of one processor that it used.
    """

    lateness_ms: float
    most_ms: float
    busy: float

    @property
    def bottleneck(self) -> str:
        """Why the figures are the client's and not the server's; empty if they are the server's."""
        if self.lateness_ms > self.most_ms:
            return f"it was up to {self.lateness_ms:.0f} ms late (p99); allowed: {self.most_ms:.0f} ms"
        if self.busy > MOST_BUSY:
            return f"it used {self.busy:.0%} of a processor; allowed: {MOST_BUSY:.0%}"
        return ""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run says of the requests that were due from ``warmup_s`` on.

    Attributes:
        offered_per_s: requests that were due, a second.
        seconds: from ``warmup_s`` to the end of the last one.
        outcomes: how many requests by what became of them; see attendant_loadtest.openloop.samples.
        errors: of those that failed, how often each was told.
        completed_per_s: answered requests a second. tokens_per_s: tokens of answers a second.
        ttft, e2e: from when a request was due. itl: between two tokens. mean_itl: of each request, the mean of these.
        goodput_per_s: requests a second that met the objective; None without one.
        met: whether the objective was met as a whole.
        first_misses, itl_misses: the shares of requests and of tokens that did not.
        client: None of the figures counts if it was the bottleneck.
    """

    offered_per_s: float
    requests: int
    seconds: float
    outcomes: dict[str, int]
    errors: dict[str, int]
    completed_per_s: float
    tokens_per_s: float
    prompt_tokens: float | None
    ttft: Times | None
    itl: Times | None
    mean_itl: Times | None
    e2e: Times | None
    goodput_per_s: float | None
    met: bool | None
    first_misses: float | None
    itl_misses: float | None
    stopped: bool
    client: Client


def figures(run: Run, offered_per_s: float, objective: Objective | None = None, warmup_s: float = 0.0) -> Figures:
    """What a run says, of requests that were due after the first ``warmup_s`` seconds."""
    samples = [each for each in run.samples if each.planned.at_s >= warmup_s and each.sent_s is not None]
    begin = min((each.planned.at_s for each in samples), default=0.0)
    seconds = max((each.end_s or 0.0 for each in samples), default=0.0) - begin
    ttft = Times.of([each.ttft_s for each in samples if each.ttft_s is not None])
    itls = [each.itl_s for each in samples if each.itl_s is not None]
    prompts = [each.prompt_tokens for each in samples if each.prompt_tokens is not None]
    firsts, late = objective.misses(samples) if objective else (0, 0)
    after = sum(tokens for each in samples for _, tokens in each.gaps)
    per_s = 1 / seconds if seconds > 0 else 0.0
    return Figures(
        offered_per_s=offered_per_s,
        requests=len(samples),
        seconds=seconds,
        outcomes=dict(Counter(each.how for each in samples)),
        errors=dict(Counter(each.error for each in samples if each.error)),
        completed_per_s=sum(each.how == ANSWERED for each in samples) * per_s,
        tokens_per_s=sum(each.tokens for each in samples) * per_s,
        prompt_tokens=sum(prompts) / len(prompts) if prompts else None,
        ttft=ttft,
        itl=Times.of(gaps_of(samples)),
        mean_itl=Times.of(itls),
        e2e=Times.of([each.e2e_s for each in samples if each.how == ANSWERED and each.e2e_s is not None]),
        goodput_per_s=sum(map(objective.good, samples)) * per_s if objective else None,
        met=objective.met(samples) and not run.stopped if objective else None,
        first_misses=firsts / max(1, len(samples)) if objective else None,
        itl_misses=late / max(1, after) if objective else None,
        stopped=run.stopped,
        client=client_of(run, ttft),
    )


def gaps_of(samples: Sequence[Sample]) -> np.ndarray:
    """[tokens after first messages] float64: seconds for each token. Tokens that came in one message share its gap."""
    pairs = [pair for each in samples for pair in each.gaps]
    if not pairs:
        return np.zeros(0)
    seconds, tokens = np.array(pairs, np.float64).T
    return np.repeat(seconds / tokens, tokens.astype(np.int64))


def client_of(run: Run, ttft: Times | None) -> Client:
    """How late the client was, and how late it may be: a tenth of what it measured at the same percentile."""
    late = [each.lateness_s for each in run.samples if each.lateness_s is not None]
    worst = max((float(np.percentile(values, 99)) for values in (late, run.lags) if values), default=0.0)
    measured_s = ttft.by_percentile[99] / 1e3 if ttft else 0.0
    return Client(worst * 1e3, max(MOST_LATENESS_S, LITTLE * measured_s) * 1e3, run.busy)
