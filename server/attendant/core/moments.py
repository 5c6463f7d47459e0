"""Where now comes from, for what plans ahead: a clock of the machine, or one that somebody else moves."""

from __future__ import annotations

from typing import Protocol


class Moments(Protocol):
    """A clock, as the module ``time`` is one. A simulation has its own."""

    def monotonic_ns(self) -> int:
        """Now, in nanoseconds from some moment on."""

    def perf_counter_ns(self) -> int:
        """The same for what is measured of the program itself: how long its own thoughts take."""
