"""One call's life among the rows of others: its rows in slices, its clock, its results in order."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from attendant.core.encoding import Arrays, Row, RowResult
from attendant.frontend.encoder_hub import EncoderHub
from attendant.frontend.encoding_calls import EncodingUsage

T = TypeVar("T")

MAX_SLICE_ROWS = 64
MIN_ROWS_IN_FLIGHT = 256
"""Rows of one call that wait or run at once; more, where a batch is larger. The rest is made when these have ended, so
that a call of thousands neither fills the queue nor the memory."""

MANY_NUMBERS = 1_000_000
"""Floats of a slice's outputs from which on reading them leaves the event loop."""


class EncoderCall:
    """A call that runs on one model. Belongs to one task of the event loop.

    Args:
        ids: names for rows that no other row of the model has.
        arrival_ns: when the call came, monotonic. timeout_s: how long its caller waits, or None.
    """

    def __init__(self, hub: EncoderHub, ids: itertools.count[int], arrival_ns: int, timeout_s: float | None) -> None:
        self._hub = hub
        self._ids = ids
        self._arrival_ns = arrival_ns
        self._deadline_ns = None if timeout_s is None else arrival_ns + int(timeout_s * 1e9)
        self._runs: dict[int, int] = {}  # how long they took, by when they began
        self.preprocess_ns = 0

    async def prepare(self, make: Callable[[], T], *, off_loop: bool) -> T:
        """What ``make`` returns, its time counted as preprocessing. ``off_loop``: it takes more than a moment."""

        def timed() -> tuple[T, int]:
            started_ns = time.monotonic_ns()
            made = make()
            return made, time.monotonic_ns() - started_ns

        made, spent_ns = await asyncio.to_thread(timed) if off_loop else timed()
        self.preprocess_ns += spent_ns
        return made

    async def run(
        self,
        count: int,
        arrays: Callable[[int], Arrays],
        read: Callable[[int, Arrays], T],
        *,
        off_loop: bool = False,
    ) -> list[T]:
        """Compute ``count`` rows.

        Args:
            arrays: the inputs of a row by its index. off_loop: they take more than a moment to make.
            read: takes a row's index and its outputs, which it must not keep: they hold their whole batch in memory.

        Returns:
            What ``read`` returned, by index.

        Raises:
            AttendantError: the first that befell a row; the others are cancelled.
        """
        model = self._hub.model
        in_flight = min(max(MIN_ROWS_IN_FLIGHT, 2 * model.limits.max_rows), model.max_rows)
        size = min(MAX_SLICE_ROWS, in_flight)
        parts = [range(start, min(start + size, count)) for start in range(0, count, size)]
        if len(parts) == 1:
            return await self._run_slice(parts[0], arrays, read, off_loop)
        gate = asyncio.Semaphore(in_flight // size)

        async def run_slice(part: range) -> list[T]:
            async with gate:
                return await self._run_slice(part, arrays, read, off_loop)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run_slice(part)) for part in parts]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [result for task in tasks for result in task.result()]

    def usage(self, num_tokens: int, num_truncated: int = 0) -> EncodingUsage:
        """What the call took, now that it is done."""
        return EncodingUsage(
            num_tokens=num_tokens,
            num_truncated=num_truncated,
            queue_ns=min(self._runs, default=self._arrival_ns) - self._arrival_ns,
            preprocess_ns=self.preprocess_ns,
            compute_ns=sum(self._runs.values()),
            total_ns=time.monotonic_ns() - self._arrival_ns,
        )

    async def _run_slice(
        self, part: range, arrays: Callable[[int], Arrays], read: Callable[[int, Arrays], T], off_loop: bool
    ) -> list[T]:
        inputs = await self.prepare(lambda: [arrays(index) for index in part], off_loop=off_loop)
        results = await self._hub.run([self._row(found) for found in inputs])
        self._runs.update((result.started_ns, result.run_ns) for result in results)

        def read_all() -> list[T]:
            return [read(index, result.outputs) for index, result in zip(part, results, strict=True)]

        return await asyncio.to_thread(read_all) if _numbers(results) > MANY_NUMBERS else read_all()

    def _row(self, arrays: Arrays) -> Row:
        values = arrays.get("input_ids", arrays.get("input_values"))
        size = 1 if values is None else len(values)
        return Row(str(next(self._ids)), arrays, size, self._arrival_ns, self._deadline_ns)


def _numbers(results: Sequence[RowResult]) -> int:
    return sum(array.size for result in results for array in result.outputs.values())
