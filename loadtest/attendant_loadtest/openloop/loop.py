"""Makes each request when it is due."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from attendant_loadtest.openloop.samples import ABANDONED, OPEN, Sample
from attendant_loadtest.schedule.planned import Planned, Schedule

LEAD_S = 0.2
"""The first request is due so long after the loop has begun."""
LOOK_S = 0.02
"""How often the client looks how late it is itself."""


class Target(Protocol):
    """Where requests go."""

    def prepare(self, planned: Planned) -> Any:
        """What is sent, made before the run begins."""

    async def ask(self, prepared: Any, planned: Planned, sample: Sample, now_s: Callable[[], float]) -> None:
        """Make a request and note in ``sample`` what becomes of it, its ``how`` at last. Raises nothing but what ends
        the run."""


@dataclass(slots=True)
class Run:
    """Requests of a schedule that were made, or will be.

    Attributes:
        samples: one for each, in order of their due moments.
        lags: how much later than wanted the client came to look at its clock, in seconds.
        busy: the share of one processor that the client used.
        wall_s: from the beginning to the end of the last one.
        stopped: it was broken off.
    """

    samples: list[Sample]
    lags: list[float] = field(default_factory=list)
    busy: float = 0.0
    wall_s: float = 0.0
    stopped: bool = False
    now_s: Callable[[], float] = lambda: 0.0


Watch = Callable[[Run], bool]
"""Looks at a run that goes on, several times a second; True breaks it off."""


async def run(schedule: Schedule, target: Target, watch: Watch | None = None, every_s: float = 0.25) -> Run:
    """Make all requests of a schedule, and wait until each has ended.

    Args:
        watch: is shown the run every ``every_s`` seconds.
    """
    prepared = [target.prepare(planned) for planned in schedule]
    found = Run([Sample(planned) for planned in schedule])
    with _no_collections():
        return await _run(found, target, prepared, watch, every_s)


async def _run(found: Run, target: Target, prepared: list[Any], watch: Watch | None, every_s: float) -> Run:
    loop = asyncio.get_running_loop()
    begun, processor_s = loop.time() + LEAD_S, time.process_time()
    found.now_s = lambda: loop.time() - begun
    calls: set[asyncio.Task[None]] = set()
    making = asyncio.create_task(_make(found, target, prepared, calls))
    aside = [asyncio.create_task(_look(found))]
    if watch is not None:
        aside.append(asyncio.create_task(_watch(found, watch, every_s)))
    try:
        ended = asyncio.create_task(_all(making, calls))
        await asyncio.wait([ended, *aside], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
        else:
            await _break_off(found, [ended, making, *calls], aside)
    finally:
        await _cancel([making, *calls, *aside])
    found.wall_s = max((sample.end_s or 0.0 for sample in found.samples), default=0.0)
    passed = loop.time() - begun + LEAD_S
    found.busy = (time.process_time() - processor_s) / passed if passed else 0.0
    return found


@contextmanager
def _no_collections() -> Iterator[None]:
    """Searches for garbage would hold the clock up for tens of milliseconds; what a run leaves is found after it."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


async def _make(found: Run, target: Target, prepared: list[Any], calls: set[asyncio.Task[None]]) -> None:
    for sample, what in zip(found.samples, prepared, strict=True):
        wait_s = sample.planned.at_s - found.now_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        calls.add(asyncio.create_task(_one(found, target, what, sample)))


async def _one(found: Run, target: Target, prepared: Any, sample: Sample) -> None:
    sample.sent_s = found.now_s()
    await target.ask(prepared, sample.planned, sample, found.now_s)
    sample.end_s = found.now_s()


async def _all(making: asyncio.Task[None], calls: set[asyncio.Task[None]]) -> None:
    """Until every call has been made and has ended. Raises what one of them raised."""
    await making
    await asyncio.gather(*calls)


async def _look(found: Run) -> None:
    loop = asyncio.get_running_loop()
    while True:
        wanted = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        found.lags.append(max(0.0, loop.time() - wanted))


async def _watch(found: Run, watch: Watch, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        if watch(found):
            return


async def _break_off(found: Run, calls: list[asyncio.Task[None]], aside: list[asyncio.Task[None]]) -> None:
    for task in aside:
        if task.done():
            task.result()
    found.stopped = True
    await _cancel(calls)
    now_s = found.now_s()
    for sample in found.samples:
        if sample.end_s is None and sample.sent_s is not None:
            sample.how, sample.end_s = ABANDONED if sample.how == OPEN else sample.how, now_s


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
