"""Closed loops watched in windows of a fixed length, until what several windows in a row say is the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from attendant_loadtest.bench.measurement import quantile

ALIKE = 3
"""So many windows in a row have to be alike."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One call, in seconds.

    Attributes:
        first_s: from its start until the first message with an answer.
        gaps_s: between such messages, after the first. A call with one answer has none.
    """

    total_s: float
    first_s: float
    gaps_s: tuple[float, ...] = ()


@dataclass(slots=True)
class Window:
    """Calls that ended within one stretch of time.

    Attributes:
        wall_s: how long it really was.
    """

    wall_s: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Calls a second."""
        return len(self.samples) / self.wall_s

    @property
    def mean_s(self) -> float:
        """Seconds that a call took, on average; 0 if none ended."""
        return fmean(sample.total_s for sample in self.samples) if self.samples else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the last windows say together. Times in milliseconds, by percentile.

    Attributes:
        stable: the windows were alike; otherwise there were no more to be had.
    """

    concurrency: int
    num_calls: int
    per_s: float
    total_ms: dict[int, float]
    first_ms: dict[int, float]
    gap_ms: dict[int, float]
    stable: bool


PERCENTILES = (50, 90, 95, 99)


async def measure(
    call: Callable[[], Awaitable[Sample]], concurrency: int, window_s: float, most_windows: int, tolerance: float
) -> Figures:
    """Run ``concurrency`` calls at a time, each followed by the next, until :data:`ALIKE` windows are alike.

    Args:
        most_windows: to be watched at most. The first is never among those that count.
        tolerance: windows are alike if calls a second and seconds a call are at most this share from their mean.

    Raises:
        Exception: what a call raised. The others are cancelled.
    """
    loop = _Loop(call)
    tasks = [asyncio.create_task(loop.run()) for _ in range(concurrency)]
    windows: list[Window] = []
    try:
        while True:
            loop.window = window = Window()
            started = time.perf_counter()
            ended, _ = await asyncio.wait(tasks, timeout=window_s, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                task.result()
            window.wall_s = time.perf_counter() - started
            windows.append(window)
            last = windows[1:][-ALIKE:]
            stable = len(last) == ALIKE and alike(last, tolerance)
            if stable or len(windows) >= most_windows:
                return figures(concurrency, last or windows, stable=stable)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Loop:
    """Calls one after another. ``window``: takes those that end now."""

    def __init__(self, call: Callable[[], Awaitable[Sample]]) -> None:
        self._call = call
        self.window = Window()

    async def run(self) -> None:
        while True:
            sample = await self._call()
            self.window.samples.append(sample)


def alike(windows: Sequence[Window], tolerance: float) -> bool:
    """Whether calls ended in each of them, as many and as fast as in the others."""
    for values in ([window.per_s for window in windows], [window.mean_s for window in windows]):
        mean = fmean(values)
        if min(values) <= 0 or any(abs(value - mean) > tolerance * mean for value in values):
            return False
    return True


def figures(concurrency: int, windows: Sequence[Window], *, stable: bool) -> Figures:
    """What windows say together."""
    samples = [sample for window in windows for sample in window.samples]
    gaps = [gap for sample in samples for gap in sample.gaps_s]
    return Figures(
        concurrency,
        len(samples),
        len(samples) / sum(window.wall_s for window in windows),
        _percentiles([sample.total_s for sample in samples]),
        _percentiles([sample.first_s for sample in samples]),
        _percentiles(gaps),
        stable,
    )


def _percentiles(seconds: Sequence[float]) -> dict[int, float]:
    return {share: quantile(seconds, share / 100) * 1e3 for share in PERCENTILES} if seconds else {}
