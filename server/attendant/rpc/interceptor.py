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

from attendant.core.errors import Unavailable
from attendant.core.stages import Tracer
from attendant.core.tally import CallLog
from attendant.rpc.access import Entry
from attendant.rpc.bounds import MessageBounds
from attendant.rpc.orca import LoadReports
from attendant.rpc.served_call import Decode, Refused, ServedCall, Way
from attendant.security.door import Door

logger = logging.getLogger("attendant.rpc")

NOT_TRACED = (
    *("/grpc.health.", "/grpc.reflection.", "/xds.service.orca."),
    *(f"/vllm.grpc.engine.VllmEngine/{method}" for method in ("HealthCheck", "GetLoads", "GetServerInfo")),
)
"""Methods that ask how the server is; they are asked all the time."""
NOT_LOGGED = (
    *NOT_TRACED,
    *(f"/inference.GRPCInferenceService/{method}" for method in ("ServerLive", "ServerReady", "ModelReady")),
)
"""Methods whose calls have no line in the log."""

Unary = Callable[[Any, Any], Awaitable[Any]]
Stream = Callable[[Any, Any], AsyncGenerator[Any]]


class Supervisor(grpc.aio.ServerInterceptor):
    """Wraps the handler of each method once.

    gRPC cancels a call's task when its client cancels, its deadline passes or its connection breaks. The wrapper then
    closes the servicer's stream before it lets go, so that the work below ends at once, not when the garbage collector
    finds it.

    Args:
        tracer: takes in how calls went, but for those that only ask how the server is; None: nobody does.
        door: says who makes a call, and whether it may; None: everyone may.
        refused: hears after how many seconds a call was refused for want of room or time.
        log: writes a line of each call, but for those of :data:`NOT_LOGGED`; None: nobody does.
        reports: say with the end of a call how busy the server is; None: nobody does.
        bounds: of what messages have.

    Attributes:
        last_call_s: when the latest call came, monotonic, but for those that only ask how the server is.
    """

    def __init__(
        self,
        tracer: Tracer | None = None,
        door: Door | None = None,
        refused: Refused | None = None,
        log: CallLog | None = None,
        bounds: MessageBounds | None = None,
        reports: LoadReports | None = None,
    ) -> None:
        self._bounds = bounds or MessageBounds()
        self._reports = reports
        self._tracer = tracer
        self._refused = refused
        self._door = door
        self._log = log
        self._handlers: dict[str, Any] = {}
        self._refusing: dict[str, tuple[Entry, Any]] = {}
        self.last_call_s = 0.0

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The supervised handler of the method, or None if there is no such method."""
        method = handler_call_details.method
        if not method.startswith(NOT_TRACED):
            self.last_call_s = time.monotonic()
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            tracer = None if method.startswith(NOT_TRACED) else self._tracer
            log = None if method.startswith(NOT_LOGGED) else self._log
            reports = None if method.startswith(NOT_TRACED) else self._reports
            way = Way(method, tracer, Entry.of(self._door, method), self._refused, self._bounds, log, reports)
            handler = self._handlers[method] = _supervise(handler, way)
            if way.entry is not None:
                self._refusing[method] = way.entry, _refuse(way)
        if method in self._refusing:
            entry, refusing = self._refusing[method]
            if entry.is_stranger(handler_call_details.invocation_metadata or ()):
                return refusing
        return handler


def _refuse(way: Way) -> Any:
    """Ends calls of callers who are not known; none of their messages is read, so it does not matter of which kind the
    method is."""

    async def refused(messages: AsyncIterator[bytes], context: Any) -> None:
        async with ServedCall(way, context):
            raise Unavailable("who may call has just changed; call again")

    return grpc.stream_stream_rpc_method_handler(refused)


def _supervise(handler: Any, way: Way) -> Any:
    # The wrappers decode the request themselves: gRPC would answer UNKNOWN, with Python's words, to one it cannot read.
    decode, encode = handler.request_deserializer, handler.response_serializer
    if handler.unary_unary:
        supervised = _supervise_unary(handler.unary_unary, way, decode)
        return grpc.unary_unary_rpc_method_handler(supervised, response_serializer=encode)
    if handler.unary_stream and inspect.isasyncgenfunction(handler.unary_stream):
        supervised = _supervise_stream(handler.unary_stream, way, decode)
        return grpc.unary_stream_rpc_method_handler(supervised, response_serializer=encode)
    if handler.stream_unary:
        supervised = _supervise_reading(handler.stream_unary, way, decode)
        return grpc.stream_unary_rpc_method_handler(supervised, response_serializer=encode)
    if handler.stream_stream and inspect.isasyncgenfunction(handler.stream_stream):
        supervised = _supervise_both(handler.stream_stream, way, decode)
        return grpc.stream_stream_rpc_method_handler(supervised, response_serializer=encode)
    assert way.entry is None, f"{way.method} answers for itself, and would answer everyone"
    return handler  # health's Watch


def _supervise_unary(behaviour: Unary, way: Way, decode: Decode) -> Unary:
    async def supervised(data: bytes, context: Any) -> Any:
        async with ServedCall(way, context) as call:
            return await behaviour(call.request(decode, data), context)

    return supervised


def _supervise_stream(behaviour: Stream, way: Way, decode: Decode) -> Unary:
    async def supervised(data: bytes, context: Any) -> None:
        write = context.write
        async with (
            ServedCall(way, context) as call,
            aclosing(behaviour(call.request(decode, data), context)) as responses,
        ):
            async for response in responses:
                await write(response)

    return supervised


def _supervise_reading(behaviour: Unary, way: Way, decode: Decode) -> Unary:
    async def supervised(messages: AsyncIterator[bytes], context: Any) -> Any:
        async with ServedCall(way, context) as call:
            return await behaviour(_requests(call, decode, messages), context)

    return supervised


def _supervise_both(behaviour: Stream, way: Way, decode: Decode) -> Unary:
    async def supervised(messages: AsyncIterator[bytes], context: Any) -> None:
        write = context.write
        async with (
            ServedCall(way, context) as call,
            aclosing(behaviour(_requests(call, decode, messages), context)) as responses,
        ):
            async for response in responses:
                await write(response)

    return supervised


async def _requests(call: ServedCall, decode: Decode, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in messages:
        yield call.request(decode, data)
