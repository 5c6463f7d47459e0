"""Many requests on one stream: they run side by side, and are answered in the order that they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc

from attendant.core.context import CallContext, current_call, working_for
from attendant.core.errors import AttendantError
from attendant.rpc import status

Q = TypeVar("Q")
R = TypeVar("R")

MAX_CALLS = 256
"""Requests of one stream whose answers have not left yet. No further one is read until one has: the sender waits."""

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
    """One request, as a part of the stream's call."""
    context = (current_call() or CallContext.new()).part("call", call_id=str(index))
    code = grpc.StatusCode.CANCELLED
    try:
        with working_for(context):
            answer = await reply(request, context)
        code = grpc.StatusCode.OK
        return answer
    except AttendantError as error:
        code = status.CODES[type(error)]
        raise
    except Exception:
        code = grpc.StatusCode.INTERNAL
        raise
    finally:
        if context.stage.trail is not None:
            context.stage.trail.close(status.end_of(code))
