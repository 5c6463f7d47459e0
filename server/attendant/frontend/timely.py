"""When a prediction is reason enough to refuse a call, and what it hears then."""

from __future__ import annotations

import time

from attendant.core.errors import WouldBeLate
from attendant.frontend.admission import sane_retry_s

FIRST_MARGIN = 1.5
"""So many times as long as predicted may it take, until it is known how long it does take."""

MOST_MARGIN = 8.0
"""What is more than that is no matter of a margin."""

WRONG_SHARE = 0.01
"""So many of the promised may take longer than predicted, the margin included."""

STEP = 0.1
"""By this share the margin grows for each that does."""

BY_FAR = 0.5
"""A call before which there is nothing is refused only if this share of what is predicted is too long: it costs nobody
anything, and what it takes corrects what is known."""

FRESH_NS = 10_000_000_000
"""So long after the last run, nanoseconds, is what is known worth refusing a call before which there is nothing."""


class Margin:
    """How many times as long as predicted it may take: runs differ, not everybody goes in the order they came, and who
    comes later may be served before. It is learnt: a walk whose steps up and down balance where one in a hundred takes
    longer."""

    def __init__(self) -> None:
        self.value = FIRST_MARGIN

    def took(self, share: float) -> None:
        """Something took so many times as long as predicted."""
        step = STEP if share > self.value else -STEP * WRONG_SHARE / (1 - WRONG_SHARE)
        self.value = min(max(self.value * (1 + step), 1.0), MOST_MARGIN)


class Promise:
    """What was predicted of a call, around what is done for it: its margin learns how long that takes."""

    def __init__(self, margin: Margin, due_ns: float | None = None) -> None:
        self._margin = margin
        self._begun_ns = time.monotonic_ns()
        self._due_ns = due_ns

    def make(self, due_ns: float | None) -> None:
        """Now it is predicted that it takes so long from here on; None: nothing is."""
        self._begun_ns, self._due_ns = time.monotonic_ns(), due_ns

    def __enter__(self) -> Promise:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._due_ns:
            return
        share = (time.monotonic_ns() - self._begun_ns) / self._due_ns
        if kind is None or share > self._margin.value:  # what was given up took at least so long
            self._margin.took(share)


def check_in_time(
    model: str,
    what: str,
    due_ns: float,
    margin: Margin,
    *,
    arrival_ns: int,
    by_ns: int,
    alone_since_ns: int | None = None,
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
        due_ns *= margin.value
    elif now_ns - alone_since_ns < FRESH_NS:
        due_ns *= BY_FAR
    else:
        return
    comes_ns = now_ns + due_ns
    if comes_ns > by_ns:
        limit_s = (by_ns - arrival_ns) / 1e9
        raise WouldBeLate(model, what, (comes_ns - arrival_ns) / 1e9, limit_s, sane_retry_s((comes_ns - by_ns) / 1e9))
