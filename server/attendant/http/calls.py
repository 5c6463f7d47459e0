"""What a request's headers say of the call that it is, and how calls end: what rpc's interceptor does for gRPC."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attendant.core.caller import current_caller
from attendant.core.context import CallContext, TraceContext, current_call, working_for
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.core.metadata import heeded
from attendant.core.salts import SALT_KEY
from attendant.core.stages import Arrival, CallEnd, Tracer
from attendant.core.tally import MOST_OF_NAME, CallLog, Tally
from attendant.http.errors import STATUSES

REQUEST_ID, TRACE_ID = "x-request-id", "x-trace-id"
_SANE = re.compile(r"[!-~]{1,128}")
_ASKS = ("GET", "HEAD")
"""Methods of requests that look at pages; the others are calls, which ask a model for something."""

Refusal = Callable[[str, AttendantError], ASGIApp]
"""What answers a request for a path that is refused before anything is done for it."""

_CONTEXT = "attendant.context"

ABANDONED = 499
"""Status of a call whose caller went away before there was one (nginx's)."""


def call_context(scope: Scope) -> CallContext:
    """The context of a request, which is made when it comes and the same for all who ask. An ``x-request-id`` is taken
    over under the same rules as in gRPC."""
    if _CONTEXT not in scope:
        scope[_CONTEXT] = _call_context(scope)
    context: CallContext = scope[_CONTEXT]
    return context


def _call_context(scope: Scope) -> CallContext:
    headers = Headers(scope=scope)
    request_id = headers.get(REQUEST_ID, "")
    trace = TraceContext.parse(headers.get("traceparent", ""))
    state = ",".join(headers.getlist("tracestate"))
    host, port = scope.get("client") or ("", 0)
    client = f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""
    return CallContext.new(
        request_id if _SANE.fullmatch(request_id) else "",
        client=client,
        trace=replace(trace, state=state) if trace is not None and state else trace,
        baggage=",".join(headers.getlist("baggage")),
        cache_salt=",".join(headers.getlist(SALT_KEY)).encode(),
        metadata=dict(headers.items()),
    )


def of_this_call() -> CallContext:
    """The context of the call that is being served here."""
    context = current_call()
    assert context is not None, "Calls has made one"
    return context


class Calls:
    """An app whose every call has its context: see :func:`attendant.core.context.current_call`. The answer bears the
    call's id.

    Args:
        tracer: takes in how calls went; None: nobody does.
        refusal: answers calls whose headers cannot be heeded.
        log: writes a line of each call of an API; None: nobody does.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer | None, refusal: Refusal, log: CallLog | None = None) -> None:
        self._app = app
        self._tracer = tracer
        self._refusal = refusal
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _ASKS:
            await self._app(scope, receive, send)
            return
        app, context = self._app, call_context(scope).made_by(current_caller().subject)
        try:
            context = heeded(context)
        except InvalidRequest as error:
            app = self._refusal(scope["path"], error)
        if self._tracer is not None:
            context = self._tracer.begin(context, Arrival("http", scope["method"], _attributes(scope)))
        if self._log is not None and is_logged(scope):
            context = self._log.begin(context, "http", method_of(scope))
        answer = _Answer(send, context)
        with working_for(context):
            try:
                await app(scope, receive, answer.send)
            except Exception as error:
                if context.tally is not None:
                    context.tally.fails(type(error))
                raise
            finally:
                self._end(scope, context, answer)

    def _end(self, scope: Scope, context: CallContext, answer: _Answer) -> None:
        trail, tally = context.stage.trail, context.tally
        if trail is None and tally is None:
            return
        route = getattr(scope.get("route"), "path", "")
        status = answer.status
        if not answer.complete and status < 400:  # the caller has gone
            status = ABANDONED
        if tally is not None:
            tally.method = f"{scope['method']} {route}" if route else tally.method
            tally.close(context, end_of(_failed_status(tally, status)))
        if trail is not None:
            if route:  # the name of a span has no part that callers choose
                trail.root.name = f"{scope['method']} {route}"
                trail.root.note(http_route=route)
            trail.close(end_of(status))


def is_logged(scope: Scope) -> bool:
    """Whether a request has a line in the log: not one that only looks, nor what the page asks."""
    return scope["method"] not in (*_ASKS, "OPTIONS") and not scope["path"].startswith("/page/")


def method_of(scope: Scope) -> str:
    """What a request asks for, as long as no route says it."""
    return f"{scope['method'][:20]} {scope['path'][:MOST_OF_NAME]}"


def end_of(status: int) -> CallEnd:
    """How a call ended that ended with this status."""
    failed = status >= 500
    return CallEnd(str(status), failed, refused=not failed and status >= 400, cancelled=status == ABANDONED)


def _failed_status(tally: Tally, status: int) -> int:
    """The status that a call would have had which failed after that had left."""
    if tally.error is None or 400 <= status != ABANDONED:
        return status
    return next((found for error, found in STATUSES.items() if error is tally.error), 500)


class _Answer:
    """The answer to a call on its way: its status, and whether all of it has left."""

    def __init__(self, send: Send, context: CallContext) -> None:
        self._send = send
        self._context = context
        self.status = 0
        self.complete = False

    async def send(self, message: Message) -> None:
        """Let a message pass; the first one gets the ids."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._ids()]}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        await self._send(message)

    def _ids(self) -> list[tuple[bytes, bytes]]:
        context, trail = self._context, self._context.stage.trail
        ids = [(REQUEST_ID.encode(), context.request_id.encode())]
        if trail is not None and trail.sampled:
            ids.append((TRACE_ID.encode(), trail.trace_id.encode()))
        return ids


def _attributes(scope: Scope) -> Mapping[str, str]:
    headers = Headers(scope=scope)
    found = {
        "http_method": scope["method"],
        "path": scope["path"][:200],
        "scheme": scope["scheme"],
        "http_version": scope["http_version"],
    }
    if agent := headers.get("user-agent", ""):
        found["user_agent"] = agent[:200]
    return found
