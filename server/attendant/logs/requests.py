"""One line for each request, once it has ended."""

from __future__ import annotations

import logging
import zlib
from dataclasses import replace

from attendant.core.context import CallContext
from attendant.core.tally import Tally
from attendant.logs.lines import TALLY
from attendant.settings import LogsSettings

logger = logging.getLogger("attendant.requests")
"""The only one that writes of requests as such."""

ALWAYS = ("refused", "failed")
"""Outcomes that have a line whatever share of the requests has one."""


class RequestLog:
    """Writes of requests. See :class:`attendant.core.tally.CallLog`."""

    def __init__(self, settings: LogsSettings) -> None:
        self._share = settings.requests_share
        self._text_limit = settings.max_text if settings.texts else 0

    def begin(self, context: CallContext, protocol: str, method: str) -> CallContext:
        """See :class:`attendant.core.tally.CallLog`."""
        tally = Tally(self, context.request_id, context.arrival_ns, protocol, method, text_limit=self._text_limit)
        return replace(context, tally=tally)

    def take(self, tally: Tally) -> None:
        """See :class:`attendant.core.tally.CallLog`."""
        outcome = tally.outcome
        level = logging.WARNING if outcome == "failed" else logging.INFO
        if logger.isEnabledFor(level) and (outcome in ALWAYS or is_chosen(tally.request_id, self._share)):
            what = "stream" if tally.num_parts else "request"
            record = logging.LogRecord(logger.name, level, "", 0, what, None, None)
            record.__dict__[TALLY] = tally
            logger.handle(record)


def is_chosen(request_id: str, share: float) -> bool:
    """Whether a request is of the share of those that have a line: the same for every line of it, on every server."""
    return share >= 1 or zlib.crc32(request_id.encode(errors="replace")) < share * 2**32
