"""An event loop whose clock jumps to whatever comes next, and a server that exists in it only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from attendant_loadtest.openloop.samples import ANSWERED, Sample
from attendant_loadtest.schedule.planned import Planned

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeping takes no time, and exactly as long as was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 1000.0

    def time(self) -> float:
        return self.passed_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.passed_s = max(self.passed_s, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run something in such a loop, in a thread of its own: tests in a browser have a loop already."""

    def go() -> T:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(go).result()


class OneAtATime:
    """A server that answers one request after another.

    Args:
        first_s: from when it takes a request up to its first token. each_s: to each of the others.
        stall: begin and end of a time in which it does nothing, in seconds from the beginning of the run.
    """

    def __init__(self, first_s: float, each_s: float = 0.0, stall: tuple[float, float] = (0.0, 0.0)) -> None:
        self._first_s, self._each_s, self._stall = first_s, each_s, stall
        self._free = asyncio.Lock()
        self.now, self.most = 0, 0

    def prepare(self, planned: Planned) -> int:
        return planned.answer

    async def ask(self, prepared: int, planned: Planned, sample: Sample, now_s: Callable[[], float]) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        async with self._free:
            for number in range(prepared):
                await asyncio.sleep(self._each_s if number else self._first_s)
                if self._stall[0] <= now_s() < self._stall[1]:
                    await asyncio.sleep(self._stall[1] - now_s())
                sample.take(now_s(), 1)
        sample.how = ANSWERED
        self.now -= 1
