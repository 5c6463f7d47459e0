"""Says that connections cannot be taken in, once and then how often: asyncio says it with a traceback for each try."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from attendant.core.exhausted import of_exhaustion

logger = logging.getLogger("attendant.http")

BETWEEN_S = 60.0
"""Seconds between two lines of the log."""


class Refused:
    """Takes what an event loop has to tell of errors that nobody waits for; of all others, it tells what the loop does.

    One try to take a connection in fails some hundred times a second while there are no descriptors.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._told_s: float | None = None
        self._count = 0
        loop.set_exception_handler(self._take)

    def _take(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        cause = of_exhaustion(error) if isinstance(error, BaseException) else None
        if cause is None or "accept" not in str(context.get("message")):
            loop.default_exception_handler(context)
            return
        self._count += 1
        now_s = loop.time()
        if self._told_s is not None and now_s < self._told_s + BETWEEN_S:
            return
        often = "" if self._told_s is None else f" (tried {self._count} times since this was said last)"
        logger.error("HTTP takes no connection in%s: %s", often, cause)
        self._told_s, self._count = now_s, 0
