"""One call over gRPC while it is served: its context, and the status that an exception ends it with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from attendant.core.caller import ANYONE, Caller, acting_for
from attendant.core.context import working_for
from attendant.core.errors import AttendantError, InvalidRequest, Overloaded
from attendant.core.exhausted import is_panic, of_exhaustion
from attendant.core.metadata import heeded
from attendant.core.stages import Arrival, Tracer
from attendant.core.tally import CallLog
from attendant.rpc import status
from attendant.rpc.access import Entry
from attendant.rpc.bounds import MessageBounds
from attendant.rpc.context import call_context
from attendant.rpc.fields import on_wire
from attendant.rpc.orca import TRAILER, LoadReports

logger = logging.getLogger("attendant.rpc")

DEADLINE_SLACK_S = 0.01
"""A cancel so long before a call's deadline is that deadline: its caller's clock began earlier."""

FAILED = frozenset((grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN))
"""What a call ends with that the server could not do: not a deadline that its caller chose, nor what is not offered,
which ``status.SERVERS_FAULTS`` has too."""

Decode = Callable[[bytes], Any]
Refused = Callable[[float], None]
"""Hears after how many seconds a call was refused for want of room or time."""


@dataclass(frozen=True, slots=True)
class Way:
    """What all calls of a method have in common. ``tracer``, ``entry``, ``refused``, ``log``: None where nobody
    follows, or watches, them, or hears of those refused, or writes of them; ``reports``: None where no call ends with
    how busy the server is."""

    method: str
    tracer: Tracer | None
    entry: Entry | None
    refused: Refused | None
    bounds: MessageBounds
    log: CallLog | None
    reports: LoadReports | None


class ServedCall:
    """Around one call, in its task: its context, and the status that an exception ends it with."""

    def __init__(self, way: Way, context: Any) -> None:
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
        self._reports: LoadReports | None = None  # once it is known that the call may be made
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
        if (reports := self._way.reports) is not None:
            self._reports = reports
            reports.began()
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
        if error is not None and (exhausted := of_exhaustion(error)) is not None:
            logger.warning("%s failed, request id %s: %r", self._method, self._id, error)
            error = exhausted
        if error is None:
            self._ended(grpc.StatusCode.OK)
            if load := self._load(grpc.StatusCode.OK):
                self._context.set_trailing_metadata((*self._context.trailing_metadata(), *load))
        elif isinstance(error, AttendantError):
            code, message, trailers = status.of(on_wire(error, self._service), self._id)
            if code is grpc.StatusCode.INTERNAL:  # the engine's log has the cause, under an id that begins so
                logger.warning("%s failed, request id %s: %s", self._method, self._id, message)
            try:
                await self._abort(code, message, trailers, type(error))
            finally:
                if isinstance(error, Overloaded) and self._way.refused is not None:
                    self._way.refused((time.monotonic_ns() - self._call.arrival_ns) / 1e9)
        elif is_panic(error) or (isinstance(error, Exception) and not isinstance(error, grpc.aio.BaseError)):
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
        await self._context.abort(code, message, (*trailers, *self._trace(kept=kept), *self._load(code)))

    def _load(self, code: grpc.StatusCode) -> status.Trailers:
        if self._reports is None:
            return ()
        return ((TRAILER, self._reports.trailer(failed=code in FAILED)),)

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
