"""Where a thread stands now, as the log tells it."""

from __future__ import annotations

import sys
import threading
import traceback


def stack_of(thread: threading.Thread | None) -> str:
    """The calls that a thread is in, the latest last, a line or two each; empty if it does not run."""
    frame = sys._current_frames().get(thread.ident) if thread is not None and thread.ident is not None else None
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
