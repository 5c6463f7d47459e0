"""What a call's metadata and its connection say of it, in the words of the core."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from attendant.core.context import CallContext, TraceContext, current_call
from attendant.core.metadata import check_priority, with_target
from attendant.core.salts import SALT_KEY, salted
from attendant.rpc.status import REQUEST_ID_KEY

TRACE_KEY, STATE_KEY, BAGGAGE_KEY = "traceparent", "tracestate", "baggage"
MAX_REQUEST_ID = 128
_SANE = re.compile(rf"[!-~]{{1,{MAX_REQUEST_ID}}}")


def call_context(context: Any) -> CallContext:
    """The context of a call that comes now; ``context`` is gRPC's.

    A caller's own ``x-request-id`` is taken over if it has 1 to 128 visible characters of ASCII, no spaces; another one
    gets a fresh id, as one does that sends none: an id is no reason to refuse a call.
    """
    request_id, trace = "", None
    also: dict[str, list[str]] = {STATE_KEY: [], BAGGAGE_KEY: [], SALT_KEY: []}  # may be spread over several entries
    metadata: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            metadata[key] = value
        if key == REQUEST_ID_KEY and _SANE.fullmatch(value):
            request_id = value
        elif key == TRACE_KEY and isinstance(value, str):
            trace = TraceContext.parse(value)
        elif key in also and isinstance(value, str):
            also[key].append(value)
    if trace is not None and also[STATE_KEY]:
        trace = replace(trace, state=",".join(also[STATE_KEY]))
    return CallContext.new(
        request_id,
        context.time_remaining(),
        client=context.peer(),
        trace=trace,
        baggage=",".join(also[BAGGAGE_KEY]),
        cache_salt=",".join(also[SALT_KEY]).encode(),
        metadata=metadata,
    )


def of_request(request: Any, context: CallContext | None = None) -> CallContext:
    """The context of a call, by default that which is being served here, with what its message says of it: fields of
    the same meaning as metadata, which count in their place, or of a salt beside it. Raises InvalidRequest."""
    context = salted(context or of_this_call(), request.cache_salt)
    if request.HasField("ttft_target_s"):
        context = with_target(context, "ttft_target_s", request.ttft_target_s)
    return replace(context, priority=check_priority("priority", request.priority)) if request.priority else context


def of_this_call() -> CallContext:
    """The context of the call that is being served here."""
    context = current_call()
    assert context is not None, "the interceptor has made one"
    return context
