"""Which call a line of the log belongs to."""

from __future__ import annotations

import logging

from attendant.core.context import current_call
from attendant.core.stages import NOWHERE


class NamesCall(logging.Filter):
    """Lets every record pass, and gives it the attributes ``request_id`` and ``trace_id``, empty where there is none,
    and ``call``, which is what a line for people begins with. It names the trace where this server follows it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See the class. To be called where the record was made."""
        context = current_call()
        request_id = context.request_id if context is not None else ""
        trace_id = context.trace.trace_id if context is not None and context.trace is not None else ""
        followed = context is not None and context.stage is not NOWHERE
        call = f"[{request_id} trace {trace_id}] " if followed else f"[{request_id}] " if request_id else ""
        record.__dict__.update(request_id=request_id, trace_id=trace_id, call=call)
        return True
