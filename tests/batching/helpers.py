"""Rows that need no model, and a runner that needs none."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from attendant.batching.policy import BatchLimits
from attendant.batching.thread import BatchThread
from attendant.core.attention import AttentionModel, JobFailure, JobReport, JobResult
from attendant.core.encoding import Arrays, BatchReport, BatchStats, Row

_numbers = itertools.count()
HANGS_S = 300
"""After so long a test hangs, however busy the machine."""


def row(
    size: int = 3, row_id: str | None = None, *, value: float = 1.0, deadline_ns: int | None = None, **asked: Any
) -> Row:
    arrays = {"input_ids": np.full(size, value)}
    return Row(row_id or f"row-{next(_numbers)}", arrays, size, time.monotonic_ns(), deadline_ns, **asked)


class FakeRunner:
    """Gives each row the sum of its ids. A row with a negative id makes the run raise ``error``."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.error: BaseException = RuntimeError("the device raised")
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def run(self, rows: Sequence[Row]) -> list[Arrays]:
        self.batches.append(tuple(row.id for row in rows))
        self.entered.release()
        assert self.gate.wait(HANGS_S)
        if any((row.arrays["input_ids"] < 0).any() for row in rows):
            raise self.error
        return [{"logits": row.arrays["input_ids"].sum(keepdims=True)} for row in rows]

    def hold(self) -> None:
        """Let the next run wait inside."""
        self.gate.clear()

    def wait_until_running(self) -> None:
        assert self.entered.acquire(timeout=HANGS_S)


class Running:
    """A batch thread whose reports and death are collected."""

    def __init__(
        self,
        runner: FakeRunner,
        limits: BatchLimits,
        probe: Row | None = None,
        attention: AttentionModel | None = None,
    ) -> None:
        self.runner = runner
        self.ends: dict[str, Any] = {}  # RowResult or RowFailure
        self.stats: list[BatchStats] = []
        self.jobs: queue.SimpleQueue[JobResult | JobFailure] = queue.SimpleQueue()
        self.died: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.thread = BatchThread("test", runner, limits, self._deliver, self.died.put, probe, attention)

    def _deliver(self, report: BatchReport | JobReport) -> None:
        if isinstance(report, JobReport):
            for job in report.ends:
                self.jobs.put(job)
            return
        assert report.ends
        for end in report.ends:
            assert end.id not in self.ends, "a row ends once"
            self.ends[end.id] = end
            self._ended.put(end.id)
        if report.stats:
            self.stats.append(report.stats)

    def wait(self, count: int) -> None:
        """Until so many more rows have ended."""
        for _ in range(count):
            self._ended.get(timeout=HANGS_S)

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.gate.set()
        self.thread.stop()
