"""Who was turned away: counted each time, and written to the log so that no flood of calls becomes one of lines."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from attendant.core.metadata import host_of
from attendant.metrics.security import SecurityMetrics

logger = logging.getLogger("attendant.audit")

QUIET_S = 10.0
"""Seconds after a line in which there is none about the same host."""
MOST_HOSTS = 1024
MOST_LINES = 100
"""In QUIET_S, about all hosts together."""


@dataclass(slots=True)
class _Host:
    told_s: float
    untold: int = 0


class Refusals:
    """The account of calls that ended at the door. It belongs to one event loop.

    Args:
        now_s: a clock that only goes on, in seconds.
    """

    def __init__(self, metrics: SecurityMetrics, now_s: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._now_s = now_s
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._since_s, self._lines, self._dropped = now_s(), 0, 0

    def note(self, reason: str, *, subject: str, peer: str, method: str, request_id: str) -> None:
        """A call was refused. A line tells of it, and of how many of the same host there were no lines about."""
        self._metrics.refused(reason)
        now_s, host = self._now_s(), host_of(peer)
        seen = self._hosts.pop(host, None)
        if seen is not None and now_s - seen.told_s < QUIET_S:
            seen.untold += 1
            self._hosts[host] = seen
            return
        untold = seen.untold if seen is not None else 0
        self._hosts[host] = _Host(now_s)
        while len(self._hosts) > MOST_HOSTS:
            self._hosts.popitem(last=False)
        if self._has_room(now_s):
            logger.warning(
                "%s: refused (%s); subject %r, peer %s, request %s; %d more of this host since the last line, %d of "
                "others without a line",
                method,
                reason,
                subject,
                peer or "unknown",
                request_id,
                untold,
                self._dropped,
            )
            self._dropped = 0
        else:
            self._dropped += 1 + untold

    def _has_room(self, now_s: float) -> bool:
        if now_s - self._since_s >= QUIET_S:
            self._since_s, self._lines = now_s, 0
        self._lines += 1
        return self._lines <= MOST_LINES
