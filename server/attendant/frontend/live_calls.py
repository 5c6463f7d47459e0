"""Calls that consist of more than what runs, and how they end when a server shuts down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attendant.core.errors import Draining

logger = logging.getLogger(__name__)


class LiveCalls:
    """Calls that were admitted and have not ended, whatever they are at: preparing, waiting, running, reading."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()  # one for each, which never comes unless a drain ends
        self._draining = False
        self._overdue = ""
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Around a call. Raises Draining: at the door, or when it outlived a drain."""
        if self._draining:
            raise Draining("the server is shutting down and takes no new requests")
        try:
            async with asyncio.timeout(None) as limit:
                self._limits.add(limit)
                self._idle.clear()
                try:
                    yield
                finally:
                    self._limits.remove(limit)
                    if not self._limits:
                        self._idle.set()
        except TimeoutError:
            if not limit.expired():
                raise
            raise Draining(self._overdue) from None

    async def drain(self, timeout_s: float) -> None:
        """Admit no more, and wait until all have ended; those that have not after ``timeout_s`` seconds fail."""
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            logger.warning("%d calls outlived the drain limit of %g s", len(self._limits), timeout_s)
            self._overdue = f"the server shut down and the request did not finish within {timeout_s:g} s"
            now = asyncio.get_running_loop().time()
            for limit in self._limits:
                limit.reschedule(now)
            await self._idle.wait()
