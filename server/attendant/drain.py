"""How a server leaves: it says so, sends its callers elsewhere, lets what runs finish, and fails what is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

logger = logging.getLogger("attendant.drain")

PROGRESS_S = 5.0
"""Seconds between two lines of the log that say what is left."""


class Ears(Protocol):
    """What takes calls in."""

    async def go_away(self) -> None:
        """Have callers open a connection elsewhere for their next call; those that run go on."""


class Leaving:
    """The steps between a signal and the end of all work.

    Args:
        delay_s: seconds in which the server says that it is not ready, and still takes calls.
        timeout_s: seconds that running calls may go on after that.
        tell: says to everybody who asks for its health that the server is not ready.
        ears: all that take calls in.
        remaining: calls that are not over, by model.
        drain: refuses new calls, waits for running ones so many seconds, and fails the rest.
    """

    def __init__(
        self,
        delay_s: float,
        timeout_s: float,
        tell: Callable[[], Awaitable[None]],
        ears: tuple[Ears, ...],
        remaining: Callable[[], Mapping[str, int]],
        drain: Callable[[float], Awaitable[None]],
    ) -> None:
        self._delay_s = delay_s
        self._timeout_s = timeout_s
        self._tell = tell
        self._ears = ears
        self._remaining = remaining
        self._drain = drain

    async def leave(self) -> None:
        """Take the steps. Nothing runs any more after that."""
        await self._tell()
        if self._delay_s:
            logger.info("not ready from now on; calls are taken for %g s more", self._delay_s)
            await asyncio.sleep(self._delay_s)
        draining = asyncio.ensure_future(self._drain(self._timeout_s))
        await asyncio.sleep(0)  # whoever comes from now on is refused
        await asyncio.gather(*(each.go_away() for each in self._ears))
        began_s = asyncio.get_running_loop().time()
        while not draining.done():
            if left := self._remaining():
                listed = ", ".join(f"{model}: {count}" for model, count in sorted(left.items()))
                passed_s = asyncio.get_running_loop().time() - began_s
                logger.info(
                    "%d calls are not over after %.0f s of %g s (%s)",
                    *(sum(left.values()), passed_s, self._timeout_s, listed),
                )
            await asyncio.wait((draining,), timeout=PROGRESS_S)
        await draining
