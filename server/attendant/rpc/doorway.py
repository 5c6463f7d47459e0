"""A port and the gRPC server behind it, which can send its callers elsewhere and still hear those who come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from attendant.core.errors import ConfigurationError

logger = logging.getLogger("attendant.rpc")

QUIET_S, MOST_PATIENCE_S = 0.5, 5.0
"""Seconds without a new call before clients are sent away, and at most until then: calls that come in the very moment
end as CANCELLED, where before and after it they hear that the server is shutting down."""

AS_LONG_AS_IT_TAKES_S = 1e6
TRIES, BETWEEN_TRIES_S = 100, 0.02
"""Of taking the port over: the server before lets go of it in its own time."""


class Doorway:
    """A port. Its methods belong to one event loop.

    Args:
        make: a gRPC server with all that does not depend on the models.
        listen: has a server take a port, by its number; returns host:port with the real one. Raises ConfigurationError.
        port: to take; 0: a free one.
        last_call_s: when the latest call came, by the loop's clock.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        listen: Callable[[Any, int], str],
        port: int,
        last_call_s: Callable[[], float],
    ) -> None:
        self._make = make
        self._listen = listen
        self._port = port
        self._last_call_s = last_call_s
        self._fill: Callable[[Any], Awaitable[None]] | None = None
        self._servers = [make()]  # the last one hears callers; those before have calls that run
        self._leaving: list[asyncio.Task[None]] = []

    def bind(self) -> str:
        """Take the port. Callers may connect from now on; they are answered after :meth:`start`. Returns host:port.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        address = self._listen(self._servers[-1], self._port)
        self._port = int(address.rpartition(":")[2])
        return address

    async def start(self, fill: Callable[[Any], Awaitable[None]]) -> None:
        """Answer calls. ``fill``: adds all services to a server that has not started."""
        self._fill = fill
        await fill(self._servers[-1])
        await self._servers[-1].start()

    async def go_away(self) -> None:
        """Tell every client to open another connection for its next call (HTTP/2's GOAWAY), and let calls go on. gRPC
        says so only from a server that hears nobody any more, so that another one takes the port over: whoever comes
        hears from that why it is refused, and health from it that nothing is served. It waits for a quiet moment; new
        calls have to be refused by now."""
        if self._fill is None:
            return
        clock = asyncio.get_running_loop().time
        latest_s = clock() + MOST_PATIENCE_S
        while (now_s := clock()) < min(latest_s, self._last_call_s() + QUIET_S):  # noqa: ASYNC110 - of how long it knows
            await asyncio.sleep(min(latest_s, self._last_call_s() + QUIET_S) - now_s)
        before, after = self._servers[-1], self._make()
        self._leaving.append(asyncio.ensure_future(before.stop(AS_LONG_AS_IT_TAKES_S)))
        await asyncio.sleep(0)
        if not await self._take_over(after):
            logger.warning("port %d could not be taken over: callers find nobody there", self._port)
            return
        self._servers.append(after)
        await self._fill(after)
        await after.start()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; cut those that still run after ``grace_s`` seconds."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers), *self._leaving)

    async def _take_over(self, server: Any) -> bool:
        for _ in range(TRIES):
            try:
                self._listen(server, self._port)
            except ConfigurationError:
                await asyncio.sleep(BETWEEN_TRIES_S)
            else:
                return True
        return False
