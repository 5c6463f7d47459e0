"""Calls that follow each other, to find out what a server can do, and calls that come on their own."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace

from attendant_loadtest.overload.calls import ANSWERED, Call, Ended
from attendant_loadtest.schedule.arrivals import Poisson

FEWEST = 16
"""Calls that tell a capacity; a few that ended together tell none."""


async def capacity_per_s(call: Call, concurrency: int, seconds: float) -> float:
    """Calls a second that are answered if so many are always asked for; the first fifth of the time does not count."""
    numbers = itertools.count()
    ends: list[float] = []

    async def caller() -> None:
        while True:
            ended = await call(next(numbers), None)
            if ended.how == ANSWERED:
                ends.append(time.perf_counter())

    begun = time.perf_counter()
    tasks = [asyncio.create_task(caller()) for _ in range(concurrency)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    counted = [end for end in ends if end >= begun + seconds / 5]
    if len(counted) < FEWEST:
        raise TimeoutError(
            f"{len(counted)} calls were answered in {0.8 * seconds:g} s; capacity needs {FEWEST} (--capacity-seconds)"
        )
    return (len(counted) - 1) / (counted[-1] - counted[0])


async def offer(call: Call, per_s: float, seconds: float, deadline_s: float, seed: int) -> list[Ended]:
    """Calls that arrive as a Poisson process for so many seconds, however many are open then, each with a deadline;
    returns when all have ended, in order of their arrival."""
    arrivals = Poisson(per_s).times(seconds, seed)
    begun = time.perf_counter()

    async def one(number: int, at_s: float) -> Ended:
        await asyncio.sleep(max(0.0, begun + at_s - time.perf_counter()))
        return await call(number, deadline_s)

    ended = await asyncio.gather(*(one(number, at_s) for number, at_s in enumerate(arrivals)))
    return [replace(each, at_s=each.at_s - begun) for each in ended]
