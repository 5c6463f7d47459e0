"""What is fast enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from attendant_loadtest.openloop.samples import OPEN, Sample
from attendant_loadtest.schedule.planned import BadSchedule

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0}


def seconds_of(text: str) -> float:
    """A time as a user writes it: ``300ms``, ``1.5s``, ``2``.

    Raises:
        BadSchedule
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s|)", text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < value < float("inf"):
        raise BadSchedule(f"a time is {text!r}; allowed: a number greater than 0 with s, ms or us, as 300ms")
    return value


@dataclass(frozen=True, slots=True)
class Objective:
    """Times that a share of requests and tokens must not exceed.

    Attributes:
        ttft_s: from when a request was due to its first token; None: any time will do.
        itl_s: between two tokens; None: any time will do.
        share: of requests whose first token, and of tokens after it that have to come in time.
    """

    ttft_s: float | None = None
    itl_s: float | None = None
    share: float = 0.99

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise BadSchedule(f"the share is {self.share:g}; allowed: between 0 and 1")

    def __str__(self) -> str:
        parts = [
            f"{name} p{100 * self.share:g} <= {limit * 1e3:g} ms"
            for name, limit in (("TTFT", self.ttft_s), ("inter-token", self.itl_s))
            if limit is not None
        ]
        return ", ".join(parts) or "any time will do"

    def good(self, sample: Sample) -> bool:
        """Whether a request counts for goodput: its first token, and the mean time of the others, were in time."""
        return self.first_in_time(sample) and (self.itl_s is None or sample.itl_s is None or sample.itl_s <= self.itl_s)

    def first_in_time(self, sample: Sample) -> bool:
        """Whether it ended well, and its first token was in time."""
        return sample.well and self._soon(sample)

    def met(self, samples: Sequence[Sample]) -> bool:
        """Whether enough first tokens and enough of those after them were in time, and something came."""
        firsts, gaps = self.misses(samples)
        tokens = sum(tokens for sample in samples for _, tokens in sample.gaps)
        least = 1 - self.share + 1e-9
        return bool(samples) and firsts <= least * len(samples) and gaps <= least * tokens

    def misses(self, samples: Sequence[Sample]) -> tuple[int, int]:
        """Requests that failed or whose first token was late, and tokens that were late."""
        firsts = sum(not self.first_in_time(sample) for sample in samples)
        return firsts, sum(self._late(sample) for sample in samples)

    def hopeless(self, samples: Sequence[Sample], now_s: float) -> bool:
        """Whether it is certain by now that it will not be met by a run of all of these."""
        lost = 0
        for sample in samples:
            if sample.sent_s is None:
                continue
            if sample.how != OPEN:
                lost += not self.first_in_time(sample)
            elif sample.first_s is not None:
                lost += not self._soon(sample)
            elif self.ttft_s is not None:
                lost += now_s - sample.planned.at_s > self.ttft_s
        allowed = 1 - self.share + 1e-9
        tokens = sum(max(sample.tokens, sample.planned.answer) for sample in samples)
        return lost > allowed * len(samples) or sum(map(self._late, samples)) > allowed * tokens

    def _soon(self, sample: Sample) -> bool:
        return self.ttft_s is None or (sample.ttft_s is not None and sample.ttft_s <= self.ttft_s)

    def _late(self, sample: Sample) -> int:
        if self.itl_s is None:
            return 0
        return sum(tokens for seconds, tokens in sample.gaps if seconds / tokens > self.itl_s)
