"""The requests of the benchmark: random prompts, no two alike, so that nothing comes from the prefix cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Workload:
    """``num_requests`` requests, at most ``concurrency`` at a time, each of ``prompt_tokens`` and ``new_tokens``; or of
    ``shortest`` to ``prompt_tokens``, where that is set. ``whole``: answers are delivered in one piece. ``per_s``:
    requests arrive on their own, so many a second on average (a Poisson process), however many are running then."""

    concurrency: int
    num_requests: int
    prompt_tokens: int
    new_tokens: int
    vocab_size: int
    seed: int
    shortest: int | None = None
    whole: bool = False
    per_s: float | None = None

    def prompts(self) -> list[list[int]]:
        """Token ids of every request."""
        rng = np.random.default_rng(self.seed)
        shape = (self.num_requests, self.prompt_tokens)
        prompts: list[list[int]] = rng.integers(0, self.vocab_size, shape).tolist()
        if self.shortest is None:
            return prompts
        lengths = rng.integers(self.shortest, self.prompt_tokens + 1, self.num_requests)
        return [prompt[:length] for prompt, length in zip(prompts, lengths, strict=True)]

    def arrivals(self) -> list[float]:
        """Seconds after the begin at which requests arrive; none where one follows another."""
        if self.per_s is None:
            return []
        gaps = np.random.default_rng(self.seed + 1).exponential(1 / self.per_s, self.num_requests)
        times: list[float] = gaps.cumsum().tolist()
        return times
