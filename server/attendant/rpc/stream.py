"""Many calls on one bidirectional stream: they run side by side, and each is answered under its own id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import grpc
from attendant_proto.v1 import encoding_pb2 as pb

from attendant.core.context import CallContext, current_call, working_for
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.rpc import status

logger = logging.getLogger("attendant.rpc")

MAX_CALLS = 256
"""Calls of one stream whose responses have not all left yet. No further one is read until one has: the sender waits."""

MOST_OF_ID = 200
"""Characters of a call's id that its trace has."""

Reply = Callable[[pb.EncodingRequest], Awaitable[pb.EncodingResponse]]


@contextmanager
def part_of_stream(call_id: str) -> Iterator[CallContext]:
    """Around one request of a stream: a part of the stream's call, which ends as what is raised says."""
    context = (current_call() or CallContext.new()).part(call_id[:MOST_OF_ID])
    code, failure = grpc.StatusCode.CANCELLED, None
    try:
        with working_for(context):
            yield context
        code = grpc.StatusCode.OK
    except Exception as error:
        code = status.CODES[type(error)] if isinstance(error, AttendantError) else grpc.StatusCode.INTERNAL
        failure = type(error)
        raise
    finally:
        context.end(status.end_of(code), failure)


async def replies(
    requests: AsyncIterator[pb.EncodingRequest], reply: Reply, max_calls: int = MAX_CALLS
) -> AsyncGenerator[pb.EncodingResponse, None]:
    """The responses to ``requests`` as they are ready, until all have one. Closing it cancels what runs.

    A call that fails is answered with its error, and so is one under an id that waits for its answer.

    Raises:
        Exception: what reading ``requests`` raised; nothing follows.
    """
    calls = _Calls(reply, max_calls)
    reader = asyncio.create_task(calls.read(requests))
    try:
        while (response := await calls.next()) is not None:
            yield response
            calls.sent()
        await reader
    finally:
        await calls.cancel(reader)


class _Calls:
    """The calls of one stream that have no response yet, and the responses that have not been fetched."""

    def __init__(self, reply: Reply, max_calls: int) -> None:
        self._reply = reply
        self._places = asyncio.Semaphore(max_calls)
        self._ready: asyncio.Queue[pb.EncodingResponse | None] = asyncio.Queue()
        self._live: dict[str, asyncio.Task[None]] = {}

    async def read(self, requests: AsyncIterator[pb.EncodingRequest]) -> None:
        """Start a call for each request, and say when all have ended."""
        try:
            async for request in requests:
                await self._places.acquire()
                if request.id in self._live:
                    duplicate = InvalidRequest(
                        "id", f"is {request.id[:100]!r}, as that of a call without an answer yet; allowed: any other"
                    )
                    self._ready.put_nowait(_failed(request.id, duplicate))
                else:
                    self._live[request.id] = asyncio.create_task(self._serve(request))
            while self._live:
                await asyncio.wait(self._live.values())
        finally:
            self._ready.put_nowait(None)

    async def next(self) -> pb.EncodingResponse | None:
        """The next response; None when there will be no more."""
        return await self._ready.get()

    def sent(self) -> None:
        """A response has left."""
        self._places.release()

    async def cancel(self, reader: asyncio.Task[None]) -> None:
        """End everything, and wait until it has ended."""
        tasks = [reader, *self._live.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, request: pb.EncodingRequest) -> None:
        try:
            with part_of_stream(request.id):
                response = await self._reply(request)
        except AttendantError as error:
            response = _failed(request.id, error)
        except Exception as error:  # supervision point: as the interceptor's, for one call of a stream
            logger.error("a call of a stream failed, id %s", request.id, exc_info=error)
            response = pb.EncodingResponse(id=request.id, error=status.unexpected_call_error(request.id))
        finally:
            del self._live[request.id]
        self._ready.put_nowait(response)


def _failed(call_id: str, error: AttendantError) -> pb.EncodingResponse:
    return pb.EncodingResponse(id=call_id, error=status.call_error(error))
