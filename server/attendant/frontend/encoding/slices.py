"""Rows of one call that are handed over together, and how they fare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from attendant.core.encoding import Row, RowFailure, RowResult
from attendant.core.errors import AttendantError
from attendant.frontend.encoding.way import RowsWay


class Slice:
    """Rows that are handed over together, once there are places for them.

    ``hand_over`` does it. ``done``: when every one has its result, or one of them failed. ``way``: where it is noted
    how they fare; None: nowhere.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        done: asyncio.Future[None],
        hand_over: Callable[[Slice], None],
        way: RowsWay | None,
    ) -> None:
        self.rows = rows
        self.way = way
        self.entered = False
        self.results: list[RowResult | None] = [None] * len(rows)
        self.done = done
        self._hand_over = hand_over
        self._missing = len(rows)

    @property
    def num_places(self) -> int:
        """A place for each row."""
        return len(self.rows)

    def enter(self) -> None:
        """Hand the rows over."""
        self.entered = True
        if self.way is not None:
            self.way.entered()
        self._hand_over(self)

    def fail(self, error: AttendantError) -> None:
        """End with this error, unless everything has ended."""
        if not self.done.done():
            self.done.set_exception(error)

    def on_end(self, index: int, end: RowResult | RowFailure) -> None:
        """Take the end of a row in."""
        if self.done.done():  # it failed or its caller went away
            return
        if isinstance(end, RowFailure):
            self.done.set_exception(end.error)
            return
        self.results[index] = end
        self._missing -= 1
        if not self._missing:
            self.done.set_result(None)
