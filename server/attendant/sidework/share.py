"""When side work may run: at once while nobody else waits, and else within a share of the time that others get."""

from __future__ import annotations


class TimeShare:
    """Accounts for the time of one thread, in nanoseconds.

    A run of side work that keeps others waiting is owed to them: with a share of 1/20, twenty times as long. Until they
    have had that, the next one waits. So before its last run, side work has had at most its share of what others had.
    A run that kept nobody waiting is owed to nobody.
    """

    def __init__(self) -> None:
        self._owed_ns = 0.0

    def may_run(self, *, others_wait: bool) -> bool:
        """Whether a run of side work may begin now."""
        return not others_wait or self._owed_ns <= 0

    def ran(self, duration_ns: int, share: float, *, others_waited: bool) -> None:
        """A run of side work has ended. ``share``: above 0, of the time of others' work; ``others_waited``: whether
        others did."""
        if others_waited:
            self._owed_ns += duration_ns / share

    def others_ran(self, duration_ns: int) -> None:
        """Others' work took so long. What is paid is paid: nothing is saved up for later."""
        self._owed_ns = max(self._owed_ns - duration_ns, 0.0)
