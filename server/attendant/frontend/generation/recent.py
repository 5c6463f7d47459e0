"""How busy a model that generates is: its state after the latest steps, and what it did in the last seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from attendant.core.events import StepReport, StepStats, TokenEvent

WINDOW_NS = 2_000_000_000
"""Nanoseconds that tokens are counted over."""

MOST_PROMPTS = 64
"""Steps that began prompts, of which the latest say how much of a prompt is cached as a rule."""


@dataclass(frozen=True, slots=True)
class LoadNow:
    """How busy a model is.

    Attributes:
        running, waiting: sequences, or rows of a model that encodes.
        max_running: those that run together at most.
        kv_used_tokens, kv_capacity_tokens: KV memory that running sequences hold, and all of it; 0: there is none.
        block_size: positions that it is handed out in.
        tokens_per_s: tokens generated, over the last two seconds.
        cached_share: share of the latest prompts' tokens that were found in the cache.
        waiting_tokens: tokens of prompts that wait, less the share that will be found in the cache if it stays so.
    """

    running: int
    waiting: int
    max_running: int
    kv_used_tokens: int = 0
    kv_capacity_tokens: int = 0
    block_size: int = 0
    tokens_per_s: float = 0.0
    cached_share: float = 0.0
    waiting_tokens: int = 0

    @property
    def kv_usage(self) -> float:
        """Share of the KV memory that running sequences hold."""
        return self.kv_used_tokens / self.kv_capacity_tokens if self.kv_capacity_tokens else 0.0


class RecentSteps:
    """What the latest steps of a model's engines did."""

    def __init__(self) -> None:
        self._tokens: deque[tuple[int, int]] = deque()  # when, how many
        self._num_tokens = 0
        self._prompts: deque[tuple[int, int]] = deque(maxlen=MOST_PROMPTS)  # tokens looked up, found

    def take(self, report: StepReport) -> None:
        """A step is over."""
        count = sum([isinstance(event, TokenEvent) for event in report.events])
        if count:
            self._tokens.append((report.at_ns, count))
            self._num_tokens += count
            self._forget(report.at_ns)
        if report.stats.prefix_queries:
            self._prompts.append((report.stats.prefix_queries, report.stats.prefix_hits))

    def load(self, state: StepStats, unbegun: Sequence[int], max_running: int, block_size: int) -> LoadNow:
        """How busy the model is now.

        Args:
            state: of all engines. unbegun: tokens of the prompts of sequences without a token, the oldest first.
        """
        self._forget(time.monotonic_ns())
        queries = sum(found for found, _ in self._prompts)
        share = sum(hits for _, hits in self._prompts) / queries if queries else 0.0
        youngest = sum(unbegun[max(0, len(unbegun) - state.num_waiting) :]) if state.num_waiting else 0
        return LoadNow(
            running=state.num_running,
            waiting=state.num_waiting,
            max_running=max_running,
            kv_used_tokens=state.kv_used_tokens,
            kv_capacity_tokens=state.kv_capacity_tokens,
            block_size=block_size,
            tokens_per_s=self._num_tokens / (WINDOW_NS / 1e9),
            cached_share=share,
            waiting_tokens=round(youngest * (1 - share)),
        )

    def _forget(self, now_ns: int) -> None:
        while self._tokens and now_ns - self._tokens[0][0] > WINDOW_NS:
            self._num_tokens -= self._tokens.popleft()[1]
