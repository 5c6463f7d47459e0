"""What a caller sends, for two who listen: one reads the body, one waits for the caller to hang up."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from attendant.core.errors import DeadlineExceeded, TooLarge

BODY_S = 60.0
"""Seconds that a caller may be silent in the middle of a body."""

_KEY = "attendant.hearing"


class Hearing:
    """The caller's side of one request.

    Args:
        receive: gives what has come, as ASGI has it.
        most_bytes: of the body.
        keep_alive_s: seconds of silence after which a stream has to give a sign of life; 0: never.
    """

    def __init__(self, receive: Receive, most_bytes: int, keep_alive_s: float = 0.0) -> None:
        self._receive = receive
        self.most_bytes = most_bytes
        self._size = 0
        self._whole = asyncio.Event()
        self.keep_alive_s = keep_alive_s

    async def receive(self) -> Message:
        """The next that comes: of the body, and when that is whole, that the caller has hung up.

        Raises:
            TooLarge: the body is.
            DeadlineExceeded: the next part of the body is long in coming.
        """
        if self._whole.is_set():
            return await self._receive()
        try:
            async with asyncio.timeout(BODY_S):
                message = await self._receive()
        except TimeoutError:
            raise DeadlineExceeded(f"the rest of the body has not come for {BODY_S:g} s") from None
        self._size += len(message.get("body", b""))
        if self._size > self.most_bytes:
            raise TooLarge("body", f"has more than {self.most_bytes:,} bytes, which is the limit")
        if not message.get("more_body", False):
            self._whole.set()
        return message

    async def gone(self) -> None:
        """Wait until the caller has hung up. As long as the body is not whole, its reader hears of that."""
        await self._whole.wait()
        await _gone(self._receive)

    def put_into(self, scope: Scope) -> None:
        """Have it found by who serves the request."""
        scope[_KEY] = self

    @staticmethod
    def of(request: Request) -> Hearing | None:
        """That of a request; None for one that asks for a page."""
        found = request.scope.get(_KEY)
        return found if isinstance(found, Hearing) else None


async def gone(request: Request) -> None:
    """Wait until the caller has hung up."""
    hearing = Hearing.of(request)
    await (_gone(request.receive) if hearing is None else hearing.gone())


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
