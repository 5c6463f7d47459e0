"""How answers go out: as JSON, or part by part while they are made; whoever hangs up ends the work."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic_core import PydanticSerializationError, to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from attendant.core.context import current_call
from attendant.core.errors import AttendantError, Overloaded, RequestCancelled, Unauthenticated, Unavailable
from attendant.http.api.dialect import Dialect
from attendant.http.api.hearing import Hearing, gone
from attendant.http.errors import status_of

T = TypeVar("T")
NO_STORE: Mapping[str, str] = {"cache-control": "no-store"}
COMMENT = b": keep-alive\n\n"

BEARER = 'Bearer realm="attendant"'
"""How to say who one is (RFC 6750, 3)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: an object that goes out as JSON, or a text that goes out as it is."""

    data: dict[str, Any] | str
    name: str = ""


Events = AsyncGenerator[Event, None]


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How the parts of a stream are written.

    Attributes:
        part: bytes of a part. failure: of the error that ends the stream.
        quiet: bytes that mean nothing, for a stream that has been silent for a while.
    """

    content_type: str
    part: Callable[[T], bytes]
    failure: Callable[[AttendantError], bytes]
    headers: Mapping[str, str]
    quiet: bytes


class Streamed(StreamingResponse):
    """A stream whose source is closed as soon as nobody reads it any more. A slow reader makes the source wait.

    Not by Starlette's own way, which cancels the source over and over until it has ended: what it still has to await
    at its end would be cut off.
    """

    def __init__(self, source: AsyncGenerator[bytes, None], content_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(source, headers={**headers, "content-type": content_type})
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(RequestCancelled):
            await unless_gone(Request(scope, receive), self.stream_response(send))

    async def stream_response(self, send: Send) -> None:
        """As Starlette does."""
        async with aclosing(self._source):
            await super().stream_response(send)


async def in_one(
    request: Request,
    dialect: Dialect,
    work: Callable[[], Awaitable[dict[str, Any] | Response]],
    headers: Mapping[str, str] = NO_STORE,
) -> Response:
    """The answer of a call as one object, or as ``work`` makes it; an error in the dialect's words."""
    try:
        body = await unless_gone(request, work())
    except AttendantError as error:
        return error_answer(dialect, error)
    return body if isinstance(body, Response) else Response(_json(body), 200, headers, "application/json")


async def written(make: Callable[[], Any], *, long: bool) -> Response:
    """An answer of what ``make`` gives, made and written in a thread if that takes long: for ``work`` of
    :func:`in_one`."""
    content = await asyncio.to_thread(lambda: _in_pieces(make()) + b"\n") if long else _json(make())
    return Response(content, 200, NO_STORE, "application/json")


async def in_events(
    request: Request, dialect: Dialect, work: Callable[[], Awaitable[Events]], *, keep_alive_s: float | None = None
) -> Response:
    """The answer of a call as server-sent events. What is refused before the first of them has the status of its
    error; what fails later is told by the last event.

    Args:
        keep_alive_s: a comment goes out whenever there was nothing for so many seconds, which may be before the first
            part, whose error then comes in the stream; 0: never; None: as the caller or the settings say.
    """

    def failure(error: AttendantError) -> bytes:
        return _event(Event(dialect.body_of(error, status_of(error)), dialect.event))

    headers = {**NO_STORE, "x-accel-buffering": "no"}
    form = Form("text/event-stream", _event, failure, headers, COMMENT)
    return await in_parts(request, dialect, work, form, keep_alive_s=keep_alive_s)


async def in_parts(
    request: Request,
    dialect: Dialect,
    work: Callable[[], Awaitable[AsyncGenerator[T, None]]],
    form: Form[T],
    *,
    keep_alive_s: float | None = None,
) -> Response:
    """The answer of a call part by part. See :func:`in_events`."""
    if keep_alive_s is None:
        hearing = Hearing.of(request)
        keep_alive_s = hearing.keep_alive_s if hearing is not None else 0.0
    try:
        parts = await unless_gone(request, work())
        first = asyncio.ensure_future(anext(parts))
        try:
            await unless_gone(request, asyncio.wait((first,), timeout=keep_alive_s or None))
            if first.done():
                first.result()
        except BaseException:
            await _cancelled(first)
            await parts.aclose()
            raise
    except AttendantError as error:
        return error_answer(dialect, error)
    source = _written(first, parts, form)
    if keep_alive_s > 0:
        source = _never_quiet(source, keep_alive_s, form.quiet)
    return Streamed(source, form.content_type, form.headers)


def error_answer(
    dialect: Dialect, error: AttendantError, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that ends a call with ``error``. ``status``: where it is not that of the error."""
    if status is None:
        status = status_of(error)
        note_failure(type(error))
    told = {**NO_STORE, **(headers or {})}
    if isinstance(error, Overloaded | Unavailable):
        told["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, Unauthenticated):
        told.setdefault("www-authenticate", BEARER)
    return Response(_json(dialect.body_of(error, status)), status, told, "application/json")


def note_failure(error: type[BaseException]) -> None:
    """The call that is being served here fails with such an error, as its line of the log will say."""
    call = current_call()
    if call is not None and call.tally is not None:
        call.tally.fails(error)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What ``work`` gives.

    Raises:
        RequestCancelled: the connection closed before; the work was cancelled.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise RequestCancelled("the caller has hung up")
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.wait((doing, leaving))


async def _written(
    first: asyncio.Future[T], parts: AsyncGenerator[T, None], form: Form[T]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        try:
            yield form.part(await first)
            async for part in parts:
                yield form.part(part)
        except StopAsyncIteration:
            return  # there was none
        except AttendantError as error:
            note_failure(type(error))
            yield form.failure(error)
        finally:
            await _cancelled(first)


async def _never_quiet(
    source: AsyncGenerator[bytes, None], every_s: float, quiet: bytes
) -> AsyncGenerator[bytes, None]:
    """``source``, and ``quiet`` wherever it gives nothing for so long."""
    async with aclosing(source):
        coming = asyncio.ensure_future(anext(source, None))
        try:
            while True:
                done, _ = await asyncio.wait((coming,), timeout=every_s)
                if not done:
                    yield quiet
                    continue
                piece = coming.result()
                if piece is None:
                    return
                yield piece
                coming = asyncio.ensure_future(anext(source, None))
        finally:
            await _cancelled(coming)


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """End ``task``, whatever becomes of it."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # nobody else asks for it


def _event(event: Event) -> bytes:
    name = f"event: {event.name}\n".encode() if event.name else b""
    data = event.data.encode() if isinstance(event.data, str) else _quickly(event.data)
    return b"%bdata: %b\n\n" % (name, data)


def _quickly(value: Any) -> bytes:
    """A value as JSON, five times as fast as by ``json``: a stream has one for each token. All of it is ASCII, as some
    clients end a line where Unicode does."""
    try:
        return to_json(value, ensure_ascii=True)
    except PydanticSerializationError:  # half of a pair of surrogates, which a model may have written
        return _text(value)


def _json(body: Any) -> bytes:
    return _text(body) + b"\n"


def _in_pieces(value: Any) -> bytes:
    """A value as JSON. Between two lists other threads get their turn, which ``json`` does not give them before it is
    done."""
    if isinstance(value, dict):
        return b"{%b}" % b",".join([b"%b:%b" % (_text(name), _in_pieces(each)) for name, each in value.items()])
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return b"[%b]" % b",".join([_in_pieces(each) for each in value])
    return _text(value)


def _text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
