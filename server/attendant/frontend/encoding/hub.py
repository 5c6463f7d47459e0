"""Where a model's batches and the event loop meet, on the loop's side: who waits for which rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from attendant.batching.client import BatchClient
from attendant.batching.thread import Report
from attendant.core.attention import JobReport
from attendant.core.encoding import BatchReport, Row, RowFailure, RowResult
from attendant.core.errors import AttendantError, Draining, EngineDead, InvalidRequest
from attendant.core.events import TenantService
from attendant.core.stages import NOWHERE, Exemplar, Stage
from attendant.frontend.admission import Gate
from attendant.frontend.encoding.backlog import Backlog
from attendant.frontend.encoding.slices import Slice
from attendant.frontend.encoding.tenant_rows import TenantRows
from attendant.frontend.encoding.way import RowsWay, note_shared_run
from attendant.frontend.jobs import JobHub
from attendant.metrics import Metrics, error_name
from attendant.models.encoders import EncoderPart
from attendant.settings import AdmissionSettings


@dataclass(frozen=True, slots=True)
class _Live:
    """A row that has not ended: its slice, its index in it, and when it arrived."""

    slice: Slice
    index: int
    arrival_ns: int

    def exemplar(self) -> Exemplar:
        """Of its call's trace, now."""
        way = self.slice.way
        return None if way is None else way.trail.exemplar(time.monotonic_ns())


class EncoderHub:
    """One model's live rows. Create it in the running event loop; everything here runs on the loop's thread.

    A place is taken for each row before it is handed over, and comes back when the row ends. Rows of calls that have
    begun wait for places, in the order they came; a new call is refused where there are none for its first rows, or
    others wait.

    Attributes:
        gate: has a place for each row, and each job, that runs or waits.
        tenants: who has how many of these places. backlog: its rows, and when others would be done.
        jobs: what the batch thread computes beside its batches.

    Args:
        batches: runs the rows, wherever; the hub starts and stops it.
        on_death: called on the loop with the model's name and the exception when ``batches`` dies.
        admission: who is let in.
    """

    def __init__(
        self,
        model: EncoderPart,
        batches: BatchClient,
        metrics: Metrics,
        on_death: Callable[[str, BaseException], None],
        admission: AdmissionSettings | None = None,
    ) -> None:
        self.model = model
        self._batches = batches
        self._metrics, self._tenants = metrics.encoders, metrics.tenants
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._live: dict[str, _Live] = {}
        self._dead: BaseException | None = None
        self.backlog = Backlog(model)
        self._row_s = 0.01  # moving average of the time that a row takes in a batch
        self.gate = Gate(model.name, model.max_rows, what="inputs", retry_after_s=lambda excess: excess * self._row_s)
        self.tenants = TenantRows(model.name, self.gate, admission or AdmissionSettings())
        self.jobs = JobHub(self.gate, batches.work, batches.end_work, partial(metrics.explain.ran, model.name))
        self._metrics.add_model(model.name, model.task, self.num_running, self.num_waiting, self)

    @property
    def ready(self) -> bool:
        """Whether the model takes rows."""
        return self._dead is None

    async def start(self) -> None:
        """Begin to take rows."""
        self._batches.start(self._deliver, self._died)

    async def close(self) -> None:
        """Stop the batches; rows still live fail."""
        shut_down = Draining("the server has shut down")
        if self._dead is None:
            self.gate.shut(shut_down)
        await asyncio.to_thread(_stop, [self._batches])
        self._fail_all(shut_down)
        self._metrics.forget_model(self.model.name, self.model.task, self)

    def admit(self, *, patient: bool = False) -> AdmittedCall:
        """The hub as one call sees it. ``patient``: its first rows wait for places, too."""
        return AdmittedCall(self, patient=patient)

    async def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Compute the rows of a call that has no others; see :meth:`AdmittedCall.run`."""
        return await self.admit().run(rows)

    def check_able(self, count: int) -> None:
        """Raises what keeps so many rows from being run whenever there are places: EngineDead, Draining,
        InvalidRequest."""
        self.gate.check_open(inner=True)
        if count > self.model.max_rows:
            raise InvalidRequest(
                "inputs",
                f"make {count} rows; allowed: at most {self.model.max_rows} in one call (encoder.max_queue)",
            )

    async def run_when_room(self, rows: Sequence[Row], stage: Stage = NOWHERE) -> list[RowResult]:
        """Compute rows once there are places for them; see :meth:`AdmittedCall.run`."""
        way = RowsWay.of(stage, len(rows))
        part = Slice(rows, self._loop.create_future(), self._hand_over, way)
        self.backlog.add(rows)
        try:
            with self.tenants.inside(rows[0].tenant, part):
                await part.done
        except BaseException:
            self._give_up(part)
            raise
        finally:
            if way is not None:
                way.end()
        return [result for result in part.results if result is not None]

    def _hand_over(self, part: Slice) -> None:
        for index, row in enumerate(part.rows):
            assert row.id not in self._live, f"row {row.id} is live already"
            self._live[row.id] = _Live(part, index, row.arrival_ns)
        self._batches.submit(part.rows)

    def _give_up(self, part: Slice) -> None:
        self.gate.give_up(part)
        if not part.entered:
            for row in part.rows:
                self.backlog.remove(row)
            return
        if left := [row.id for row in part.rows if (live := self._live.get(row.id)) and live.slice is part]:
            self._batches.cancel(left)

    def num_running(self) -> int:
        """Rows of the batch that runs."""
        return self._batches.num_running

    def num_waiting(self) -> int:
        """Rows that wait for one, or for a place."""
        return max(len(self._live) - self._batches.num_running, 0) + self.gate.wanted

    # -- from the client's thread

    def _deliver(self, report: Report) -> None:
        if isinstance(report, JobReport):
            self._loop.call_soon_threadsafe(self.jobs.on_report, report)
        else:
            self._loop.call_soon_threadsafe(self._on_report, report)

    def _died(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._on_dead, error)

    # -- back on the loop

    def _on_report(self, report: BatchReport) -> None:
        waited = [
            (end.started_ns, live)
            for end in report.ends
            if isinstance(end, RowResult) and (live := self._live.get(end.id))
        ]
        rows = [live.slice.rows[live.index] for _, live in waited]
        self._tenants.served(self.model.name, [TenantService(row.tenant, row.size, 0) for row in rows])
        self._note_run(report, {live.slice.way: None for _, live in waited if live.slice.way is not None})
        self._on_ends(report.ends)
        if stats := report.stats:
            self.backlog.ran(stats)
            self._row_s += 0.1 * (stats.run_ns / 1e9 / stats.num_rows - self._row_s)
            waited_ns = [begun_ns - live.arrival_ns for begun_ns, live in waited]
            exemplars = [live.exemplar() for _, live in waited]
            self._metrics.batch(self.model.name, self.model.task, stats, waited_ns, exemplars)

    def _note_run(self, report: BatchReport, ways: Mapping[RowsWay, None]) -> None:
        if ways and report.stats is not None:
            first = next(end for end in report.ends if isinstance(end, RowResult))
            note_shared_run(tuple(ways), first, report.stats, self.model.name, self.model.task)

    def _on_ends(self, ends: Sequence[RowResult | RowFailure]) -> None:
        before = len(self._live)
        for end in ends:
            if live := self._live.pop(end.id, None):
                self.backlog.remove(live.slice.rows[live.index])
                live.slice.on_end(live.index, end)
                if isinstance(end, RowFailure):
                    self._metrics.failed(self.model.name, self.model.task, error_name(type(end.error)))
        self.gate.give_back(before - len(self._live))

    def _on_dead(self, error: BaseException) -> None:
        if self._dead is not None:
            return
        self._dead = error
        death = EngineDead.of(self.model.name)
        self.gate.shut(death)
        self._fail_all(death)
        self._on_death(self.model.name, error)

    def _fail_all(self, error: AttendantError) -> None:
        self.jobs.fail_all(error)
        self._on_ends([RowFailure(row_id, error) for row_id in self._live])


class AdmittedCall:
    """A hub as one call sees it: places are refused to its first rows only, those that follow wait for theirs. One that
    is ``patient`` waits for all."""

    def __init__(self, hub: EncoderHub, *, patient: bool = False) -> None:
        self.model = hub.model
        self._hub = hub
        self._begun, self._checked = patient, False

    async def run(self, rows: Sequence[Row], stage: Stage = NOWHERE, num_rows: int | None = None) -> list[RowResult]:
        """Compute rows, and return their results in their order. If one fails, or the task is cancelled, the others
        that wait are not run. ``stage``: where it is noted how they fare. ``num_rows``: those of the whole call;
        None: it has no others.

        Raises:
            Draining, EngineDead: no rows are run any more.
            QueueFull: the first rows of the call found no places, or its tenant has as many as it may have.
            WouldBeLate: the rows of the call would not be done in its time; told of the first ones.
            InvalidRequest: more rows than the model ever holds.
            DeadlineExceeded, StepFailed: of the first row that failed.
        """
        if not rows:
            return []
        self._hub.check_able(len(rows))
        if not self._begun:
            self._hub.tenants.check_room(rows[0].tenant, len(rows))
        promise = None if self._checked else self._hub.backlog.check(rows, num_rows or len(rows))
        self._begun = self._checked = True
        with promise or nullcontext():
            return await self._hub.run_when_room(rows, stage)


def _stop(batches: list[BatchClient]) -> None:
    """Stop the only one, and take it out of the list: a pool's thread holds what it was given until after it has
    told the end, and a model that leaves would stay as long."""
    batches.pop().stop()
