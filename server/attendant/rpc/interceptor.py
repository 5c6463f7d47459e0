"""The supervision point of the gRPC side: every call gets its context, and every exception becomes one status."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from attendant.core.context import working_for
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.rpc import status
from attendant.rpc.context import call_context
from attendant.rpc.fields import on_wire

logger = logging.getLogger("attendant.rpc")

Unary = Callable[[Any, Any], Awaitable[Any]]
Stream = Callable[[Any, Any], AsyncGenerator[Any]]
Decode = Callable[[bytes], Any]


class Supervisor(grpc.aio.ServerInterceptor):
    """Wraps the handler of each method once.

    gRPC cancels a call's task when its client cancels, its deadline passes or its connection breaks. The wrapper then
    closes the servicer's stream before it lets go, so that the work below ends at once, not when the garbage collector
    finds it.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The supervised handler of the method, or None if there is no such method."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is not None:
                handler = self._handlers[method] = _supervise(handler, method)
        return handler


def _supervise(handler: Any, method: str) -> Any:
    # The wrappers decode the request themselves: gRPC would answer UNKNOWN, with Python's words, to one it cannot read.
    decode, encode = handler.request_deserializer, handler.response_serializer
    if handler.unary_unary:
        supervised = _supervise_unary(handler.unary_unary, method, decode)
        return grpc.unary_unary_rpc_method_handler(supervised, response_serializer=encode)
    if handler.unary_stream and inspect.isasyncgenfunction(handler.unary_stream):
        supervised = _supervise_stream(handler.unary_stream, method, decode)
        return grpc.unary_stream_rpc_method_handler(supervised, response_serializer=encode)
    if handler.stream_stream and inspect.isasyncgenfunction(handler.stream_stream):
        supervised = _supervise_both(handler.stream_stream, method, decode)
        return grpc.stream_stream_rpc_method_handler(supervised, response_serializer=encode)
    return handler  # health's Watch, which answers for itself


def _supervise_unary(behaviour: Unary, method: str, decode: Decode) -> Unary:
    async def supervised(data: bytes, context: Any) -> Any:
        async with _Call(method, context):
            return await behaviour(_request(decode, data), context)

    return supervised


def _supervise_stream(behaviour: Stream, method: str, decode: Decode) -> Unary:
    async def supervised(data: bytes, context: Any) -> None:
        write = context.write
        async with _Call(method, context), aclosing(behaviour(_request(decode, data), context)) as responses:
            async for response in responses:
                await write(response)

    return supervised


def _supervise_both(behaviour: Stream, method: str, decode: Decode) -> Unary:
    async def supervised(messages: AsyncIterator[bytes], context: Any) -> None:
        write = context.write
        async with _Call(method, context), aclosing(behaviour(_requests(decode, messages), context)) as responses:
            async for response in responses:
                await write(response)

    return supervised


async def _requests(decode: Decode, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in messages:
        yield _request(decode, data)


def _request(decode: Decode, data: bytes) -> Any:
    try:
        return decode(data)
    except DecodeError as error:
        raise InvalidRequest("request", f"is not a message of this method: {error}") from None


class _Call:
    """Around one call, in its task: its context, and the status that an exception ends it with."""

    def __init__(self, method: str, context: Any) -> None:
        self._method = method
        self._service = method.strip("/").partition("/")[0]
        self._context = context
        self._call = call_context(context)
        self._id = self._call.request_id
        self._scope = working_for(self._call)
        context.set_trailing_metadata(((status.REQUEST_ID_KEY, self._id),))

    async def __aenter__(self) -> None:
        self._scope.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._end(error)
        finally:
            self._scope.__exit__(None, None, None)

    async def _end(self, error: BaseException | None) -> None:
        if error is None:
            self._log("OK")
        elif isinstance(error, AttendantError):
            code, message, trailers = status.of(on_wire(error, self._service), self._id)
            if code is grpc.StatusCode.INTERNAL:  # the engine's log has the cause, under an id that begins so
                logger.warning("%s failed, request id %s: %s", self._method, self._id, message)
            await self._abort(code, message, trailers)
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.BaseError):
            logger.error("%s failed, request id %s", self._method, self._id, exc_info=error)
            await self._abort(*status.of_unexpected(self._id))
        else:  # cancelled, or gRPC's own word that the call is over
            self._log("CANCELLED")

    async def _abort(self, code: grpc.StatusCode, message: str, trailers: status.Trailers) -> None:
        self._log(code.name)
        await self._context.abort(code, message, trailers)

    def _log(self, outcome: str) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            call, seconds = self._call, (time.monotonic_ns() - self._call.arrival_ns) / 1e9
            logger.debug(
                "%s %s %s %.3fs %s priority %d", self._method, outcome, call.client, seconds, self._id, call.priority
            )
