"""What a call's metadata and its connection say of it, in the words of the core."""

from __future__ import annotations

import re
from typing import Any

from attendant.core.context import CallContext, TraceContext, current_call
from attendant.rpc.status import REQUEST_ID_KEY

TRACE_KEY = "traceparent"
MAX_REQUEST_ID = 128
_SANE = re.compile(rf"[!-~]{{1,{MAX_REQUEST_ID}}}")


def call_context(context: Any) -> CallContext:
    """The context of a call that comes now; ``context`` is gRPC's.

    A caller's own ``x-request-id`` is taken over if it has 1 to 128 visible characters of ASCII, no spaces; another one
    gets a fresh id, as one does that sends none: an id is no reason to refuse a call.
    """
    request_id, trace = "", None
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and _SANE.fullmatch(value):
            request_id = value
        elif key == TRACE_KEY and isinstance(value, str):
            trace = TraceContext.parse(value)
    return CallContext.new(request_id, context.time_remaining(), client=context.peer(), trace=trace)


def of_this_call() -> CallContext:
    """The context of the call that is being served here."""
    context = current_call()
    assert context is not None, "the interceptor has made one"
    return context
