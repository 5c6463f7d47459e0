"""When a prediction is reason enough to refuse a call, and what it hears then."""

from __future__ import annotations

import time

from attendant.core.errors import WouldBeLate
from attendant.frontend.admission import MAX_RETRY_S, MIN_RETRY_S

MARGIN = 1.1
"""So many times as long as predicted may it take: runs differ, and not everybody goes in the order they came."""

BY_FAR = 0.5
"""A call before which there is nothing is refused only if this share of what is predicted is too long: it costs nobody
anything, and what it takes corrects what is known."""

FRESH_NS = 10_000_000_000
"""So long after the last run, nanoseconds, is what is known worth refusing a call before which there is nothing."""


def check_in_time(
    model: str, what: str, due_ns: float, *, arrival_ns: int, by_ns: int, alone_since_ns: int | None = None
) -> None:
    """Refuse a call that would be late.

    Args:
        what: would be late, as :class:`~attendant.core.errors.WouldBeLate` has it.
        due_ns: in how many nanoseconds it would come, as predicted.
        arrival_ns, by_ns: when the call came, and when this is of no use any more, monotonic.
        alone_since_ns: there is nothing before the call since then; None: there is.

    Raises:
        WouldBeLate: it would be.
    """
    now_ns = time.monotonic_ns()
    if alone_since_ns is None:
        due_ns *= MARGIN
    elif now_ns - alone_since_ns < FRESH_NS:
        due_ns *= BY_FAR
    else:
        return
    comes_ns = now_ns + due_ns
    if comes_ns > by_ns:
        limit_s = (by_ns - arrival_ns) / 1e9
        raise WouldBeLate(model, what, (comes_ns - arrival_ns) / 1e9, limit_s, retry_s(comes_ns - by_ns))


def retry_s(late_ns: float) -> float:
    """When to try again what would be so late, seconds."""
    return min(max(late_ns / 1e9, MIN_RETRY_S), MAX_RETRY_S)
