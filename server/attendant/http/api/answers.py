"""How an API's answers go out: as JSON, or as events while they are made; whoever hangs up ends the work."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from attendant.core.errors import AttendantError, QueueFull, RequestCancelled
from attendant.http.api.dialect import Dialect
from attendant.http.errors import STATUSES

T = TypeVar("T")
NO_STORE = {"cache-control": "no-store"}
COMMENT = b": keep-alive\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: an object that goes out as JSON, or a text that goes out as it is."""

    data: dict[str, Any] | str
    name: str = ""


Events = AsyncGenerator[Event, None]


class Streamed(StreamingResponse):
    """A stream whose source is closed as soon as nobody reads it any more. A slow reader makes the source wait."""

    def __init__(self, source: AsyncGenerator[bytes, None], content_type: str) -> None:
        super().__init__(source, headers={**NO_STORE, "content-type": content_type, "x-accel-buffering": "no"})
        self._source = source

    async def stream_response(self, send: Send) -> None:
        """As Starlette does."""
        async with aclosing(self._source):
            await super().stream_response(send)


async def in_one(
    request: Request, dialect: Dialect, work: Callable[[], Awaitable[dict[str, Any] | Response]]
) -> Response:
    """The answer of a call as one object, or as ``work`` makes it; an error in the dialect's words."""
    try:
        body = await unless_gone(request, work())
    except AttendantError as error:
        return error_answer(dialect, error)
    return (
        body if isinstance(body, Response) else Response(_json(body), headers=NO_STORE, media_type="application/json")
    )


async def in_events(
    request: Request, dialect: Dialect, work: Callable[[], Awaitable[Events]], *, keep_alive_s: float = 0.0
) -> Response:
    """The answer of a call as server-sent events. What is refused before the first of them has the status of its
    error; what fails later is told by the last event.

    Args:
        keep_alive_s: a comment goes out whenever there was nothing for so many seconds; 0: never.
    """
    try:
        events = await unless_gone(request, work())
        try:
            first = await unless_gone(request, anext(events))
        except BaseException:
            await events.aclose()
            raise
    except AttendantError as error:
        return error_answer(dialect, error)
    written = _written(dialect, first, events)
    return Streamed(_with_comments(written, keep_alive_s) if keep_alive_s > 0 else written, "text/event-stream")


def error_answer(dialect: Dialect, error: AttendantError) -> Response:
    """The answer that ends a call with ``error``."""
    status, headers = STATUSES[type(error)], dict(NO_STORE)
    if isinstance(error, QueueFull):
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    return Response(_json(dialect.error_body(dialect.in_its_words(error), status)), status, headers, "application/json")


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What ``work`` gives.

    Raises:
        RequestCancelled: the connection closed before; the work was cancelled.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise RequestCancelled("the caller has hung up")
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.wait((doing, leaving))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _written(dialect: Dialect, first: Event, events: Events) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        try:
            yield _event(first)
            async for event in events:
                yield _event(event)
        except AttendantError as error:
            body = dialect.error_body(dialect.in_its_words(error), STATUSES[type(error)])
            yield _event(Event(body, dialect.event))


async def _with_comments(source: AsyncGenerator[bytes, None], every_s: float) -> AsyncGenerator[bytes, None]:
    """``source``, and a comment wherever it gives nothing for so long."""
    async with aclosing(source):
        coming = asyncio.ensure_future(anext(source, None))
        try:
            while True:
                done, _ = await asyncio.wait((coming,), timeout=every_s)
                if not done:
                    yield COMMENT
                    continue
                piece = coming.result()
                if piece is None:
                    return
                yield piece
                coming = asyncio.ensure_future(anext(source, None))
        finally:
            coming.cancel()
            await asyncio.wait((coming,))


def _event(event: Event) -> bytes:
    data = event.data if isinstance(event.data, str) else json.dumps(event.data, separators=(",", ":"))
    name = f"event: {event.name}\n" if event.name else ""
    return f"{name}data: {data}\n\n".encode()


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"
