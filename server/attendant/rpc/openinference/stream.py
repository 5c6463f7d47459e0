"""Requests of one stream: they run side by side, a bounded number of them, and each is answered under its own id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import grpc
from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.context import CallContext, current_call, working_for
from attendant.core.errors import AttendantError
from attendant.rpc import status
from attendant.rpc.openinference.infer import Begin
from attendant.rpc.openinference.options import FINAL
from attendant.rpc.stream import MAX_CALLS, MOST_OF_ID

logger = logging.getLogger("attendant.rpc")

MAX_READY = 256
"""Responses that wait until the stream takes them. When there are so many, what makes them waits."""


@dataclass(frozen=True, slots=True)
class _End:
    """A request is answered to its end. ``error``: ends the stream."""

    error: Exception | None = None


_Item = pb.ModelStreamInferResponse | _End


async def responses(
    requests: AsyncIterator[pb.ModelInferRequest],
    begin: Begin,
    *,
    end_on_error: bool = False,
    max_calls: int = MAX_CALLS,
    max_ready: int = MAX_READY,
) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
    """The responses to ``requests`` as they are ready, until all have ended. Closing it cancels what runs.

    Responses of models that give one response to each request leave in the order of their requests; those of others
    when they are ready.

    Args:
        end_on_error: a request that fails ends the stream with its error; otherwise it is answered with it.

    Raises:
        Exception: what reading ``requests`` raised; nothing follows. With ``end_on_error``, a request's AttendantError.
    """
    calls = _Calls(begin, end_on_error, max_calls, max_ready)
    reader = asyncio.create_task(calls.read(requests))
    try:
        while (item := await calls.ready.get()) is not None:
            if not isinstance(item, _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                calls.places.release()
        await reader
    finally:
        await calls.cancel(reader)


class _Calls:
    """The requests of one stream that have not ended, and the responses that have not been fetched."""

    def __init__(self, begin: Begin, end_on_error: bool, max_calls: int, max_ready: int) -> None:
        self.places = asyncio.Semaphore(max_calls)
        self.ready: asyncio.Queue[_Item | None] = asyncio.Queue(max_ready)
        self._begin = begin
        self._end_on_error = end_on_error
        self._live: set[asyncio.Task[None]] = set()
        self._latest: _Turn | None = None

    async def read(self, requests: AsyncIterator[pb.ModelInferRequest]) -> None:
        """Start each request, and say when all have ended."""
        try:
            async for request in requests:
                await self.places.acquire()
                task = asyncio.create_task(self._serve(request))
                self._live.add(task)
                task.add_done_callback(self._live.discard)
            while self._live:
                await asyncio.wait(self._live)
        except Exception:
            await self.ready.put(None)
            raise
        await self.ready.put(None)

    async def cancel(self, reader: asyncio.Task[None]) -> None:
        """End everything, and wait until it has ended."""
        tasks = [reader, *self._live]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, request: pb.ModelInferRequest) -> None:
        context = (current_call() or CallContext.new()).part(request.id[:MOST_OF_ID])
        turn = self._latest = _Turn(self._latest)
        code, end = grpc.StatusCode.CANCELLED, _End()
        failure: type[BaseException] | None = None
        try:
            with working_for(context):
                inference = self._begin(request)
                if inference.decoupled:  # nothing has come between: no await was
                    self._latest = turn.leave()
                async with aclosing(inference.streamed(context)) as parts:
                    async for part in parts:
                        await turn.come()
                        await self.ready.put(pb.ModelStreamInferResponse(infer_response=part))
            code = grpc.StatusCode.OK
        except AttendantError as error:
            failure = type(error)
            code, end = status.CODES[type(error)], await self._failed(turn, request, error, str(error))
        except Exception as error:  # supervision point: as the interceptor's, for one request of a stream
            failure = type(error)
            code, message, _ = status.of_unexpected(context.request_id)
            if not self._end_on_error:
                logger.error("a request of a stream failed, id %s", request.id[:MOST_OF_ID], exc_info=error)
            end = await self._failed(turn, request, error, message)
        finally:
            turn.done.set()
            context.end(status.end_of(code), failure)
        await self.ready.put(end)

    async def _failed(self, turn: _Turn, request: pb.ModelInferRequest, error: Exception, message: str) -> _End:
        await turn.come()
        if self._end_on_error:
            return _End(error)
        response = pb.ModelStreamInferResponse(error_message=message)
        response.infer_response.id = request.id
        response.infer_response.parameters[FINAL].bool_param = True
        await self.ready.put(response)
        return _End()


class _Turn:
    """The place of a request among those whose responses keep the order of their requests.

    Attributes:
        done: set when the request has had its turn.
    """

    def __init__(self, before: _Turn | None) -> None:
        self._before = before
        self.done = asyncio.Event()

    async def come(self) -> None:
        """Wait until the one before has had its turn."""
        if self._before is not None:
            await self._before.done.wait()
            self._before = None  # a long stream would be one chain

    def leave(self) -> _Turn | None:
        """Have no turn. Returns the one before."""
        before, self._before = self._before, None
        return before
