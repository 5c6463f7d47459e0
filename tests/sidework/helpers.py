"""A model of attention that needs no graph: its weights are a formula, its runs can be held."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from attendant.core.attention import (
    AttentionJob,
    AttentionPart,
    AttentionRun,
    AttentionShape,
    AttentionSubject,
    AttentionView,
)
from attendant.sidework.arithmetic import Weights

HANGS_S = 300
"""After so long a test hangs, however busy the machine."""
LAYERS, HEADS, HIDDEN = 3, 4, 5
FAILS = 99
"""A subject of so many tokens makes its second run raise."""


class FakeAttention:
    """A decoder's attention in runs of ``chunk`` tokens: each row a softmax over its own token and those before."""

    shapes: tuple[AttentionShape, ...] = (AttentionShape("self", LAYERS, HEADS),)
    max_tokens: int = 128
    origin: Literal["fused", "eager"] = "fused"

    def __init__(self, chunk: int = 4) -> None:
        self._chunk = chunk
        self.num_runs = 0
        self.num_closed = 0
        self._gate = threading.Event()
        self._gate.set()
        self._entered = threading.Semaphore(0)

    def weights(self, num_tokens: int) -> Weights:
        """All of a subject, [layers, heads, n, n] float32."""
        rng = np.random.default_rng(num_tokens)
        scores = rng.standard_normal((LAYERS, HEADS, num_tokens, num_tokens))
        scores[..., np.triu(np.ones((num_tokens, num_tokens), bool), 1)] = -np.inf
        exps = np.exp(scores)
        found: Weights = (exps / exps.sum(axis=-1, keepdims=True)).astype(np.float32)
        return found

    def hidden(self, num_tokens: int) -> Weights:
        """[n, hidden] float32."""
        return np.random.default_rng(num_tokens).standard_normal((num_tokens, HIDDEN)).astype(np.float32)

    def runs(self, subject: AttentionSubject) -> Iterator[AttentionRun]:
        num_tokens = len(subject.arrays["input_ids"])
        weights, hidden = self.weights(num_tokens), self.hidden(num_tokens)
        try:
            for start in range(0, num_tokens, self._chunk):
                self._entered.release()
                assert self._gate.wait(HANGS_S)
                if num_tokens == FAILS and start:
                    raise RuntimeError("the graph raised")
                end = min(start + self._chunk, num_tokens)
                self.num_runs += 1
                parts = [AttentionPart("self", i, start, weights[i, :, start:end, :end]) for i in range(LAYERS)]
                yield AttentionRun(tuple(parts), start, hidden[start:end])
        finally:
            self.num_closed += 1

    def hold(self) -> None:
        """Let the next run wait inside."""
        self._gate.clear()

    def go_on(self) -> None:
        self._gate.set()

    def wait_until_running(self) -> None:
        assert self.runs_within(HANGS_S)

    def runs_within(self, timeout_s: float) -> bool:
        """Wait for a run to begin; whether one did."""
        return self._entered.acquire(timeout=timeout_s)


ALL = AttentionView("self", tuple(range(LAYERS)), tuple(range(HEADS)))


def job(job_id: str, num_tokens: int, view: AttentionView | None = ALL, **fields: Any) -> AttentionJob:
    subject = AttentionSubject({"input_ids": np.arange(num_tokens)})
    return AttentionJob(job_id, subject, view, time.monotonic_ns(), **fields)
