"""When a prediction is reason enough to refuse a call, what it hears then, and what is learnt of what was promised."""

from __future__ import annotations

import math
import time
from typing import Protocol

from attendant.core.errors import WouldBeLate
from attendant.frontend.admission import sane_retry_s
from attendant.frontend.margin import Margin

BY_FAR = 0.5
"""A call before which there is nothing is refused only if this share of what is predicted is too long: it costs nobody
anything, and what it takes corrects what is known."""

FRESH_NS = 10_000_000_000
"""So long after the last run, nanoseconds, is what is known worth refusing a call before which there is nothing."""

STRETCH_NS = 20e9
"""So long what was learnt of a stretch counts, about, nanoseconds; much longer than what it is learnt from takes, so
that it does not go up and down."""

LEAST_STRETCH, MOST_STRETCH = 0.5, 4.0

GIVEN_UP_LATE = 1.02
"""What its deadline ended took longer than it was allowed to: by this factor at least."""


class Learns(Protocol):
    """What learns from what was predicted."""

    def took(self, predicted_ns: float, actual_ns: float) -> None:
        """Something was predicted to take so long, in nanoseconds, and took so long."""


class Stretch:
    """How many times as long as its runs alone say something takes, on average over some while: not everybody goes in
    the order they came, and rows of one call are in several runs. It belongs to the event loop."""

    def __init__(self) -> None:
        self._predicted = self._actual = 0.0  # nanoseconds, of calls that ended; earlier ones weigh less
        self._at_ns = 0

    @property
    def value(self) -> float:
        """What it is now, within bounds."""
        if not self._predicted:
            return 1.0
        return min(max(self._actual / self._predicted, LEAST_STRETCH), MOST_STRETCH)

    def took(self, predicted_ns: float, actual_ns: float) -> None:
        """See :class:`Learns`; ``predicted_ns`` is without a stretch. What is long counts more."""
        now_ns = time.monotonic_ns()
        memory = math.exp((self._at_ns - now_ns) / STRETCH_NS) if self._at_ns else 0.0
        self._at_ns = now_ns
        if not memory:
            self._predicted = self._actual = predicted_ns
        self._predicted = memory * self._predicted + predicted_ns
        self._actual = memory * self._actual + actual_ns


class Promise:
    """What was predicted of a call, around what is done for it: its margin learns how much later that comes.

    Args:
        due_ns: in so many nanoseconds it is done, as predicted; None: nothing is.
        by_ns: when it has to be, monotonic; None: whenever.
        learns: of calls that were done, too.
        raw_ns: what ``learns`` hears as predicted.
    """

    def __init__(
        self,
        margin: Margin,
        due_ns: float | None = None,
        by_ns: int | None = None,
        learns: Learns | None = None,
        raw_ns: float | None = None,
    ) -> None:
        self._margin = margin
        self._learns, self._raw_ns = learns, raw_ns
        self.make(due_ns, by_ns)

    def make(self, due_ns: float | None, by_ns: int | None = None) -> None:
        """Now it is predicted that it takes so long from here on."""
        self._begun_ns, self._due_ns, self._by_ns = time.monotonic_ns(), due_ns, by_ns

    def __enter__(self) -> Promise:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._due_ns:
            return
        now_ns = time.monotonic_ns()
        took_ns = now_ns - self._begun_ns
        if kind is None and self._learns is not None and self._raw_ns:
            self._learns.took(self._raw_ns, took_ns)
        if self._by_ns is None:
            return
        allowed_ns = self._by_ns - self._begun_ns
        if kind is not None:
            if took_ns - self._due_ns <= self._margin.value * allowed_ns and now_ns < self._by_ns:
                return  # it was given up before anything could be seen
            took_ns = max(took_ns, round(GIVEN_UP_LATE * allowed_ns))
        self._margin.took(self._due_ns / 1e9, took_ns / 1e9, allowed_ns / 1e9)


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
        due_ns += margin.value * max(by_ns - now_ns, 0)
    elif now_ns - alone_since_ns < FRESH_NS:
        due_ns *= BY_FAR
    else:
        return
    comes_ns = now_ns + due_ns
    if comes_ns > by_ns:
        limit_s = (by_ns - arrival_ns) / 1e9
        raise WouldBeLate(model, what, (comes_ns - arrival_ns) / 1e9, limit_s, sane_retry_s((comes_ns - by_ns) / 1e9))
