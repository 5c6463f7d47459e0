"""The supervision point of the gRPC side: every call gets its context, and every exception becomes one status."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from attendant.core.caller import ANYONE, Caller, acting_for
from attendant.core.context import working_for
from attendant.core.errors import AttendantError, InvalidRequest, Overloaded, Unavailable
from attendant.core.exhausted import of_exhaustion
from attendant.core.metadata import heeded
from attendant.core.stages import Arrival, Tracer
from attendant.core.tally import CallLog
from attendant.rpc import status
from attendant.rpc.access import Entry
from attendant.rpc.bounds import MessageBounds
from attendant.rpc.context import call_context
from attendant.rpc.fields import on_wire
from attendant.security.door import Door

logger = logging.getLogger("attendant.rpc")

NOT_TRACED = (
    *("/grpc.health.", "/grpc.reflection."),
    *(f"/vllm.grpc.engine.VllmEngine/{method}" for method in ("HealthCheck", "GetLoads", "GetServerInfo")),
)
"""Methods that ask how the server is; they are asked all the time."""
NOT_LOGGED = (
    *NOT_TRACED,
    *(f"/inference.GRPCInferenceService/{method}" for method in ("ServerLive", "ServerReady", "ModelReady")),
)
"""Methods whose calls have no line in the log."""

DEADLINE_SLACK_S = 0.01
"""A cancel so long before a call's deadline is that deadline: its caller's clock began earlier."""

Unary = Callable[[Any, Any], Awaitable[Any]]
Stream = Callable[[Any, Any], AsyncGenerator[Any]]
Decode = Callable[[bytes], Any]
Refused = Callable[[float], None]
"""Hears after how many seconds a call was refused for want of room or time."""


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
    ) -> None:
        self._bounds = bounds or MessageBounds()
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
            way = _Way(method, tracer, Entry.of(self._door, method), self._refused, self._bounds, log)
            handler = self._handlers[method] = _supervise(handler, way)
            if way.entry is not None:
                self._refusing[method] = way.entry, _refuse(way)
        if method in self._refusing:
            entry, refusing = self._refusing[method]
            if entry.is_stranger(handler_call_details.invocation_metadata or ()):
                return refusing
        return handler


@dataclass(frozen=True, slots=True)
class _Way:
    """What all calls of a method have in common. ``tracer``, ``entry``, ``refused``, ``log``: None where nobody
    follows, or watches, them, or hears of those refused, or writes of them."""

    method: str
    tracer: Tracer | None
    entry: Entry | None
    refused: Refused | None
    bounds: MessageBounds
    log: CallLog | None


def _refuse(way: _Way) -> Any:
    """Ends calls of callers who are not known; none of their messages is read, so it does not matter of which kind the
    method is."""

    async def refused(messages: AsyncIterator[bytes], context: Any) -> None:
        async with _Call(way, context):
            raise Unavailable("who may call has just changed; call again")

    return grpc.stream_stream_rpc_method_handler(refused)


def _supervise(handler: Any, way: _Way) -> Any:
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


def _supervise_unary(behaviour: Unary, way: _Way, decode: Decode) -> Unary:
    async def supervised(data: bytes, context: Any) -> Any:
        async with _Call(way, context) as call:
            return await behaviour(call.request(decode, data), context)

    return supervised


def _supervise_stream(behaviour: Stream, way: _Way, decode: Decode) -> Unary:
    async def supervised(data: bytes, context: Any) -> None:
        write = context.write
        async with (
            _Call(way, context) as call,
            aclosing(behaviour(call.request(decode, data), context)) as responses,
        ):
            async for response in responses:
                await write(response)

    return supervised


def _supervise_reading(behaviour: Unary, way: _Way, decode: Decode) -> Unary:
    async def supervised(messages: AsyncIterator[bytes], context: Any) -> Any:
        async with _Call(way, context) as call:
            return await behaviour(_requests(call, decode, messages), context)

    return supervised


def _supervise_both(behaviour: Stream, way: _Way, decode: Decode) -> Unary:
    async def supervised(messages: AsyncIterator[bytes], context: Any) -> None:
        write = context.write
        async with (
            _Call(way, context) as call,
            aclosing(behaviour(_requests(call, decode, messages), context)) as responses,
        ):
            async for response in responses:
                await write(response)

    return supervised


async def _requests(call: _Call, decode: Decode, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in messages:
        yield call.request(decode, data)


class _Call:
    """Around one call, in its task: its context, and the status that an exception ends it with."""

    def __init__(self, way: _Way, context: Any) -> None:
        self._way = way
        self._method = way.method
        self._service = way.method.strip("/").partition("/")[0]
        self._context = context
        self._call = call_context(context)
        self._refused: AttendantError | None = None
        try:
            self._call = heeded(self._call)
        except InvalidRequest as error:  # which the call hears once it has begun
            self._refused = error
        if way.tracer is not None:
            self._call = way.tracer.begin(self._call, Arrival("grpc", way.method.strip("/")))
        if way.log is not None:
            self._call = way.log.begin(self._call, "grpc", way.method.strip("/"))
        self._id = self._call.request_id
        self._received = False
        self._scope = ExitStack()
        trail = self._call.stage.trail
        kept = trail is not None and trail.sampled
        context.set_trailing_metadata(((status.REQUEST_ID_KEY, self._id), *self._trace(kept=kept)))

    def request(self, decode: Decode, data: bytes) -> Any:
        """The message that the call sent. Raises InvalidRequest for one that cannot be read, and for metadata that
        cannot."""
        try:
            if self._refused is not None:
                raise self._refused
            message = decode(data)
            self._way.bounds.check(message)
            return message
        except DecodeError as error:
            raise InvalidRequest("request", f"is not a message of this method: {error}") from None
        finally:
            if not self._received:
                self._received = True
                self._call.stage.add("receive", self._call.arrival_ns, time.monotonic_ns(), request_bytes=len(data))

    async def __aenter__(self) -> Self:
        caller = ANYONE if self._way.entry is None else await self._admitted(self._way.entry)
        self._scope.enter_context(working_for(self._call))
        if caller is not ANYONE:
            self._scope.enter_context(acting_for(caller))
        return self

    async def _admitted(self, entry: Entry) -> Caller:
        try:
            caller = entry.admit(self._context, self._call)
        except AttendantError as error:
            await self._end(error)
            raise
        self._call = self._call.made_by(caller.subject)
        return caller

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._end(error)
        finally:
            self._scope.close()

    async def _end(self, error: BaseException | None) -> None:
        if isinstance(error, Exception) and (exhausted := of_exhaustion(error)) is not None:
            logger.warning("%s failed, request id %s: %r", self._method, self._id, error)
            error = exhausted
        if error is None:
            self._ended(grpc.StatusCode.OK)
        elif isinstance(error, AttendantError):
            code, message, trailers = status.of(on_wire(error, self._service), self._id)
            if code is grpc.StatusCode.INTERNAL:  # the engine's log has the cause, under an id that begins so
                logger.warning("%s failed, request id %s: %s", self._method, self._id, message)
            try:
                await self._abort(code, message, trailers, type(error))
            finally:
                if isinstance(error, Overloaded) and self._way.refused is not None:
                    self._way.refused((time.monotonic_ns() - self._call.arrival_ns) / 1e9)
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.BaseError):
            logger.error("%s failed, request id %s", self._method, self._id, exc_info=error)
            await self._abort(*status.of_unexpected(self._id), type(error))
        else:  # cancelled, or gRPC's own word that the call is over
            left_s = self._call.time_left_s()
            late = left_s is not None and left_s <= DEADLINE_SLACK_S
            self._ended(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)

    async def _abort(
        self, code: grpc.StatusCode, message: str, trailers: status.Trailers, error: type[BaseException]
    ) -> None:
        kept = self._ended(code, message, error)
        await self._context.abort(code, message, (*trailers, *self._trace(kept=kept)))

    def _trace(self, *, kept: bool) -> status.Trailers:
        trace = self._call.trace
        return ((status.TRACE_ID_KEY, trace.trace_id),) if kept and trace is not None else ()

    def _ended(self, code: grpc.StatusCode, message: str = "", error: type[BaseException] | None = None) -> bool:
        """Say how the call ended. Returns whether its trace is kept."""
        if logger.isEnabledFor(logging.DEBUG):
            call, seconds = self._call, (time.monotonic_ns() - self._call.arrival_ns) / 1e9
            logger.debug(
                "%s %s %s %.3fs %s priority %d", self._method, code.name, call.client, seconds, self._id, call.priority
            )
        return self._call.end(status.end_of(code, message), error)
