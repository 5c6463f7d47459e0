"""How a call's answer goes out: as JSON, or line by line while it is made; whoever goes away ends the work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from attendant.core.errors import AttendantError, RequestCancelled
from attendant.http.errors import error_answer, error_body
from attendant.http.page.files import HEADERS

T = TypeVar("T")
Line = dict[str, Any]
NO_STORE = {**HEADERS, "cache-control": "no-store"}


class Streamed(StreamingResponse):
    """A stream whose source is closed as soon as nobody reads it any more."""

    def __init__(self, source: AsyncGenerator[bytes, None], content_type: str) -> None:
        super().__init__(source, headers={**NO_STORE, "content-type": content_type})
        self._source = source

    async def stream_response(self, send: Send) -> None:
        """As Starlette does."""
        async with aclosing(self._source):
            await super().stream_response(send)


async def in_one(request: Request, work: Callable[[], Awaitable[Line]]) -> Response:
    """The answer of a call as one object; an error as its status and its words."""
    try:
        body = await unless_gone(request, work())
    except AttendantError as error:
        return error_answer(error)
    return Response(json.dumps(body, separators=(",", ":")) + "\n", headers=NO_STORE, media_type="application/json")


async def in_lines(request: Request, work: Callable[[], Awaitable[AsyncGenerator[Line, None]]]) -> Response:
    """The answer of a call as a line of JSON for each part. What is refused before the first of them has the status of
    its error; what fails later is told by the last line, ``{"error": ...}``."""
    try:
        lines = await unless_gone(request, work())
        try:
            first = await unless_gone(request, anext(lines))
        except BaseException:
            await lines.aclose()
            raise
    except AttendantError as error:
        return error_answer(error)
    return Streamed(_encoded(first, lines), "application/x-ndjson")


async def _encoded(first: Line, lines: AsyncGenerator[Line, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines):
        try:
            yield _line(first)
            async for line in lines:
                yield _line(line)
        except AttendantError as error:
            yield _line(error_body(error))


def _line(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


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
        raise RequestCancelled("the browser has gone")
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.wait((doing, leaving))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
