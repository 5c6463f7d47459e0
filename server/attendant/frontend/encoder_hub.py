"""Where a batch thread and the event loop meet, on the loop's side: who waits for which rows, how many there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attendant.batching.thread import BatchThread
from attendant.core.encoding import BatchReport, Row, RowFailure, RowResult
from attendant.core.errors import AttendantError, Draining, EngineDead, InvalidRequest, QueueFull
from attendant.metrics import Metrics, error_name
from attendant.models.encoders import LoadedEncoder

logger = logging.getLogger(__name__)


class _Call:
    """Rows that were handed over together. ``done``: when every one has its result, or one of them failed."""

    def __init__(self, num_rows: int, done: asyncio.Future[None]) -> None:
        self.results: list[RowResult | None] = [None] * num_rows
        self.done = done
        self._missing = num_rows

    def on_end(self, index: int, end: RowResult | RowFailure) -> None:
        if self.done.done():  # it failed or its caller went away
            return
        if isinstance(end, RowFailure):
            self.done.set_exception(end.error)
            return
        self.results[index] = end
        self._missing -= 1
        if not self._missing:
            self.done.set_result(None)


@dataclass(frozen=True, slots=True)
class _Live:
    """A row that has not ended: its call, its index in it, and when it arrived."""

    call: _Call
    index: int
    arrival_ns: int


class EncoderHub:
    """One model's batch thread, its places and its live rows. Create it in the running event loop; everything runs on
    the loop's thread.

    A place is taken for each row before it is handed over, and comes back when the row ends.

    Args:
        on_death: called on the loop with the model's name and the exception when the batch thread dies.
    """

    def __init__(self, model: LoadedEncoder, metrics: Metrics, on_death: Callable[[str, BaseException], None]) -> None:
        self.model = model
        self._metrics = metrics.encoders
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._live: dict[str, _Live] = {}
        self._draining = False
        self._dead: BaseException | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._row_s = 0.01  # moving average of the time that a row takes in a batch
        self._thread = BatchThread(model.name, model.runner, model.limits, self._deliver, self._died)
        self._metrics.add_model(model.name, model.task, self._num_running, self._num_waiting)

    @property
    def ready(self) -> bool:
        """Whether the model takes rows."""
        return self._dead is None

    @property
    def num_active(self) -> int:
        """Rows that hold a place."""
        return len(self._live)

    async def start(self) -> None:
        """Start the batch thread."""
        self._thread.start()

    async def close(self) -> None:
        """Stop the batch thread; rows still live fail."""
        self._draining = True
        await asyncio.to_thread(self._thread.stop)
        self._fail_all(Draining("the server has shut down"))

    async def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Compute rows, and return their results in their order. If one fails, or the task is cancelled, the others
        that wait are not run.

        Raises:
            Draining, EngineDead, QueueFull: at the door.
            InvalidRequest: more rows than the model ever holds.
            DeadlineExceeded, StepFailed: of the first row that failed.
        """
        if not rows:
            return []
        self._check_room(len(rows))
        call = _Call(len(rows), self._loop.create_future())
        for index, row in enumerate(rows):
            assert row.id not in self._live, f"row {row.id} is live already"
            self._live[row.id] = _Live(call, index, row.arrival_ns)
        self._idle.clear()
        self._thread.submit(rows)
        try:
            await call.done
        except BaseException:
            self._cancel(call, rows)
            raise
        return [result for result in call.results if result is not None]

    async def drain(self, timeout_s: float) -> None:
        """Refuse new rows, let those that wait or run finish, fail the rest after ``timeout_s`` seconds."""
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            logger.warning("%s: %d rows outlived the drain limit of %g s", self.model.name, len(self._live), timeout_s)
            error = f"the server shut down and the request did not finish within {timeout_s:g} s"
            for live in self._live.values():
                live.call.on_end(live.index, RowFailure("", Draining(error)))
            self._thread.cancel(tuple(self._live))
            try:  # the thread ends them after the run it is in
                await asyncio.wait_for(self._idle.wait(), 10.0)
            except TimeoutError:
                self._fail_all(Draining("the server shut down while a batch was running"))

    def _check_room(self, count: int) -> None:
        if self._dead is not None:
            raise self._death()
        if self._draining:
            raise Draining("the server is shutting down and takes no new requests")
        most = self.model.max_rows
        if count > most:
            raise InvalidRequest(
                "inputs", f"make {count} rows; allowed: at most {most} in one call (encoder.max_queue)"
            )
        excess = len(self._live) + count - most
        if excess > 0:
            raise QueueFull(self.model.name, most, min(max(excess * self._row_s, 0.05), 30.0))

    def _cancel(self, call: _Call, rows: Sequence[Row]) -> None:
        left = [row.id for row in rows if (live := self._live.get(row.id)) and live.call is call]
        if left:
            self._thread.cancel(left)

    def _death(self) -> EngineDead:
        return EngineDead(f"the engine of model {self.model.name!r} has stopped after an internal error")

    def _num_running(self) -> int:
        return self._thread.num_running

    def _num_waiting(self) -> int:
        return max(len(self._live) - self._thread.num_running, 0)

    # -- from the batch thread

    def _deliver(self, report: BatchReport) -> None:
        self._loop.call_soon_threadsafe(self._on_report, report)

    def _died(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._on_dead, error)

    # -- back on the loop

    def _on_report(self, report: BatchReport) -> None:
        waited_ns = [
            end.started_ns - live.arrival_ns
            for end in report.ends
            if isinstance(end, RowResult) and (live := self._live.get(end.id))
        ]
        for end in report.ends:
            self._on_end(end)
        if stats := report.stats:
            self._row_s += 0.1 * (stats.run_ns / 1e9 / stats.num_rows - self._row_s)
            self._metrics.batch(self.model.name, stats, waited_ns)

    def _on_end(self, end: RowResult | RowFailure) -> None:
        live = self._live.pop(end.id, None)
        if live is None:
            return
        live.call.on_end(live.index, end)
        if isinstance(end, RowFailure):
            self._metrics.failed(self.model.name, error_name(type(end.error)))
        if not self._live:
            self._idle.set()

    def _on_dead(self, error: BaseException) -> None:
        if self._dead is not None:
            return
        self._dead = error
        self._fail_all(self._death())
        self._on_death(self.model.name, error)

    def _fail_all(self, error: AttendantError) -> None:
        for row_id in tuple(self._live):
            self._on_end(RowFailure(row_id, error))
