"""When a sequence got where: what its timings are made of."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.core.request import PromptRun, Timings

MOST_RUNS = 32
"""Runs over one prompt that are told."""


@dataclass(slots=True)
class Clock:
    """Moments of a sequence in nanoseconds of the monotonic clock; 0 for one that has not come."""

    arrival_ns: int
    first_scheduled_ns: int = 0
    first_token_ns: int = 0
    last_token_ns: int = 0
    runs: tuple[PromptRun, ...] = ()
    num_preemptions: int = 0

    def run(self, run: PromptRun) -> None:
        """A part of the prompt was computed."""
        if len(self.runs) < MOST_RUNS:
            self.runs += (run,)

    def scheduled(self, now_ns: int) -> None:
        """The sequence has got a place; its first one counts."""
        self.first_scheduled_ns = self.first_scheduled_ns or now_ns

    def token(self, now_ns: int) -> None:
        """The sequence has got a token."""
        self.last_token_ns = now_ns
        if not self.first_token_ns:
            self.first_token_ns = now_ns

    def timings(self, now_ns: int) -> Timings:
        """Durations so far; see :class:`~attendant.core.request.Timings` for the definitions."""
        scheduled, first = self.first_scheduled_ns, self.first_token_ns
        return Timings(
            queue_ns=(scheduled or now_ns) - self.arrival_ns,
            prefill_ns=(first or now_ns) - scheduled if scheduled else 0,
            decode_ns=self.last_token_ns - first,
            first_token_ns=first - self.arrival_ns if first else 0,
            total_ns=now_ns - self.arrival_ns,
            runs=self.runs,
            num_preemptions=self.num_preemptions,
        )
