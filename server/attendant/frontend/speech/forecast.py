"""Whether a recording would be transcribed in its time: how many windows it has, and what windows lately took."""

from __future__ import annotations

import time

from attendant.batching.run_times import RunTimes
from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded
from attendant.frontend.margin import Margin
from attendant.frontend.timely import check_in_time


class WindowForecast:
    """What windows of one model took, from their features to their last token, by how many recordings were inside. It
    belongs to the event loop.

    Attributes:
        margin: of what is predicted of whole recordings.

    Args:
        predict: refuse recordings that would be late. end_hopeless: end those that can no longer be done.
    """

    def __init__(self, model: str, *, predict: bool, end_hopeless: bool) -> None:
        self._model = model
        self._predict = predict
        self._end_hopeless = end_hopeless
        self._times = RunTimes()
        self.margin = Margin()
        self._ended_ns = 0

    def took(self, num_inside: int, took_ns: int) -> None:
        """A window was transcribed while so many recordings were inside."""
        self._times.take(num_inside, took_ns)
        self._ended_ns = time.monotonic_ns()

    def check(self, num_windows: int, num_inside: int, context: CallContext, *, first: bool) -> float | None:
        """Look whether a recording can be done in its time, before a window of it costs anything.

        Args:
            num_windows: that are left, this one included.
            num_inside: recordings inside, this one included.
            first: nothing of it was transcribed yet.

        Returns:
            In how many nanoseconds it would be done among the others, if it is not begun and not alone; or None.

        Raises:
            WouldBeLate: of the first window: the result, or the first of it, would come too late.
            DeadlineExceeded: of a later one: it would come too late even if all went as well as it has gone lately.
        """
        if not first:
            if self._end_hopeless:
                self._check_hope(num_windows, context)
            return None
        if not self._predict or (took_ns := self._times.of(num_inside)) is None:
            return None
        alone_since_ns = self._ended_ns if num_inside == 1 else None
        arrival_ns = context.arrival_ns
        for what, windows, by_ns in (
            ("the first part of the result", 1, context.first_token_by_ns),
            ("the result", num_windows, context.deadline_ns),
        ):
            if by_ns is not None:
                check_in_time(
                    self._model,
                    what,
                    windows * took_ns,
                    self.margin,
                    arrival_ns=arrival_ns,
                    by_ns=by_ns,
                    alone_since_ns=alone_since_ns,
                )
        return num_windows * took_ns if num_inside > 1 else None

    def _check_hope(self, num_windows: int, context: CallContext) -> None:
        least_ns = self._times.least(1)
        left_s = context.time_left_s()
        if least_ns is not None and left_s is not None and num_windows * least_ns / 1e9 > left_s:
            raise DeadlineExceeded(f"the deadline would pass before the {num_windows} windows that are left are done")
