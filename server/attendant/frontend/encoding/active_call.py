"""One call's life among the rows of others: its rows in slices, its clock, its results in order."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from attendant.bundle.graph_io import PACKED, SOUND
from attendant.core.context import CallContext
from attendant.core.encoding import Arrays, Row, RowResult
from attendant.core.errors import DeadlineExceeded
from attendant.frontend.encoding.calls import EncodingUsage
from attendant.frontend.encoding.hub import AdmittedCall
from attendant.frontend.encoding.receipts import LARGE_ROWS, RowDigests
from attendant.tasks.images import MAX_PIXELS
from attendant.tasks.job_threads import JobThreads

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
        ids: numbers for rows that no other row of the model has.
        context: of the call.
        media: decode its files.
        digests: of its rows, if it gets a receipt.

    Attributes:
        weight: what each token of its rows counts in a batch, which tells of large outputs.
        max_pixels: of its images.
        most_rows: that wait or run at once at most, where their outputs are large; None: as many as of other calls.
    """

    def __init__(
        self,
        hub: AdmittedCall,
        ids: itertools.count[int],
        context: CallContext,
        media: JobThreads,
        digests: RowDigests | None = None,
    ) -> None:
        self._hub = hub
        self._ids = ids
        self._media = media
        self._digests = digests
        self._context = context
        self._num_rows = 0
        self._runs: dict[int, int] = {}  # how long they took, by when they began
        self.preprocess_ns = 0
        self.weight = 1
        self.max_pixels = MAX_PIXELS
        self.most_rows: int | None = None

    async def prepare(self, make: Callable[[], T], *, off_loop: bool, what: str = "tokenise") -> T:
        """What ``make`` returns, its time counted as preprocessing, and noted as ``what``. ``off_loop``: it takes more
        than a moment."""
        with self._context.stage.begin(what):
            made, spent_ns = await asyncio.to_thread(_timed, make) if off_loop else _timed(make)
        self.preprocess_ns += spent_ns
        return made

    async def run(
        self,
        count: int,
        arrays: Callable[[int], Arrays],
        read: Callable[[int, Arrays], T],
        *,
        media: bool = False,
        read_off_loop: bool = False,
    ) -> list[T]:
        """Compute ``count`` rows.

        Args:
            arrays: the inputs of a row by its index.
            read: takes a row's index and its outputs, which it must not keep: they hold their whole batch in memory.
            media: the inputs are files to decode. Each is a job of its own in the threads for media; those still to
                come are not begun when the call is cancelled or its deadline passes.
            read_off_loop: reading takes more than a moment.

        Returns:
            What ``read`` returned, by index.

        Raises:
            AttendantError: the first that befell a row; the others are cancelled.
        """
        self._num_rows += count
        if self._context.tally is not None:
            self._context.tally.rows += count
        make = self._decode if media else self._make
        model = self._hub.model
        in_flight = min(max(MIN_ROWS_IN_FLIGHT, 2 * model.limits.max_rows), model.max_rows)
        if self.most_rows is not None:
            in_flight = min(in_flight, self.most_rows)
        size = min(MAX_SLICE_ROWS, in_flight)
        parts = [range(start, min(start + size, count)) for start in range(0, count, size)]
        if len(parts) == 1:
            return await self._run_slice(parts[0], make, arrays, read, read_off_loop)
        gate = asyncio.Semaphore(in_flight // size)

        async def run_slice(part: range) -> list[T]:
            async with gate:
                return await self._run_slice(part, make, arrays, read, read_off_loop)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run_slice(part)) for part in parts]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [result for task in tasks for result in task.result()]

    def heard(self, seconds: float) -> None:
        """So much sound was in its files, for its line of the log."""
        if self._context.tally is not None:
            self._context.tally.hears_sound(seconds)

    def usage(self, num_tokens: int, num_truncated: int = 0) -> EncodingUsage:
        """What the call took, now that it is done."""
        return EncodingUsage(
            num_tokens=num_tokens,
            num_truncated=num_truncated,
            queue_ns=min(self._runs, default=self._context.arrival_ns) - self._context.arrival_ns,
            preprocess_ns=self.preprocess_ns,
            compute_ns=sum(self._runs.values()),
            total_ns=time.monotonic_ns() - self._context.arrival_ns,
            on_gpu=self._hub.model.manifest.target == "cuda",
        )

    async def _run_slice(
        self,
        part: range,
        make: Callable[[range, Callable[[int], Arrays]], Awaitable[list[Arrays]]],
        arrays: Callable[[int], Arrays],
        read: Callable[[int, Arrays], T],
        read_off_loop: bool,
    ) -> list[T]:
        inputs = await make(part, arrays)
        if self._digests is not None:
            await self._digest(self._digests, part, inputs)
        results = await self._hub.run([self._row(found) for found in inputs], self._context.stage, self._num_rows)
        self._runs.update((result.started_ns, result.run_ns) for result in results)

        def read_all() -> list[T]:
            return [read(index, result.outputs) for index, result in zip(part, results, strict=True)]

        many = read_off_loop or _numbers(results) > MANY_NUMBERS
        with self._context.stage.begin("results"):
            return await asyncio.to_thread(read_all) if many else read_all()

    async def _digest(self, digests: RowDigests, part: range, inputs: Sequence[Arrays]) -> None:
        def digest() -> None:
            for index, arrays in zip(part, inputs, strict=True):
                digests.take(index, arrays)

        large = sum(array.nbytes for arrays in inputs for array in arrays.values()) > LARGE_ROWS
        await asyncio.to_thread(digest) if large else digest()

    async def _make(self, part: range, arrays: Callable[[int], Arrays]) -> list[Arrays]:
        return await self.prepare(lambda: [arrays(index) for index in part], off_loop=False, what="tensors")

    async def _decode(self, part: range, arrays: Callable[[int], Arrays]) -> list[Arrays]:
        def decode(index: int) -> Arrays:
            if self._context.deadline_ns is not None and time.monotonic_ns() >= self._context.deadline_ns:
                raise DeadlineExceeded(f"the deadline passed before the input at index {index} was decoded")
            return arrays(index)

        made: list[Arrays] = []
        with self._context.stage.begin("decode files", files=len(part)):
            for index in part:
                decoded, spent_ns = await self._media.run(partial(_timed, partial(decode, index)))
                self.preprocess_ns += spent_ns
                made.append(decoded)
        return made

    def _row(self, arrays: Arrays) -> Row:
        values = arrays.get(PACKED.input_ids.name, arrays.get(SOUND.input_values.name))
        size = 1 if values is None else len(values) * self.weight
        context = self._context
        row_id = f"{context.request_id}#{next(self._ids)}"
        return Row(
            row_id,
            arrays,
            size,
            context.arrival_ns,
            context.result_by_ns,
            priority=context.priority,
            tenant=context.tenant,
        )


def _timed(make: Callable[[], T]) -> tuple[T, int]:
    """What ``make`` returns, and the nanoseconds it took."""
    started_ns = time.monotonic_ns()
    made = make()
    return made, time.monotonic_ns() - started_ns


def _numbers(results: Sequence[RowResult]) -> int:
    return sum(array.size for result in results for array in result.outputs.values())
