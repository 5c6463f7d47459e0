"""Many requests on one stream: they run side by side, and are answered in the order that they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from attendant.core.context import CallContext
from attendant.rpc.stream import MAX_CALLS, part_of_stream

Q = TypeVar("Q")
R = TypeVar("R")

Reply = Callable[[Q, CallContext], Awaitable[R]]


async def in_order(
    requests: AsyncIterator[Q], reply: Reply[Q, R], max_calls: int = MAX_CALLS
) -> AsyncGenerator[R, None]:
    """The answers to ``requests``, in their order. Closing it cancels what runs.

    Raises:
        Exception: what the first request that failed raised, once those before it are answered; or what reading them
            raised. Nothing follows.
    """
    places = asyncio.Semaphore(max_calls)
    begun: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
    live: set[asyncio.Task[R]] = set()

    async def read() -> None:
        try:
            index = 0
            async for request in requests:
                await places.acquire()
                task = asyncio.create_task(_answered(request, reply, index))
                live.add(task)
                begun.put_nowait(task)
                index += 1
        finally:
            begun.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await begun.get()) is not None:
            answer = await task
            live.discard(task)
            yield answer
            places.release()
        await reader
    finally:
        for each in (reader, *live):
            each.cancel()
        await asyncio.gather(reader, *live, return_exceptions=True)


async def _answered(request: Q, reply: Reply[Q, R], index: int) -> R:
    with part_of_stream(str(index)) as context:
        return await reply(request, context)
