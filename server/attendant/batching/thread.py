"""A model's batch thread: the one place where rows cross into it and reports cross out of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from attendant.batching.ends import end_of, failed_run
from attendant.batching.policy import Batch, BatchLimits, batch_of, choose, due_in_ns
from attendant.batching.queue import RowQueue
from attendant.batching.run_times import RunTimes
from attendant.core.attention import AttentionJob, AttentionModel, JobReport
from attendant.core.encoding import Arrays, BatchReport, BatchStats, Row, RowFailure
from attendant.core.errors import DeadlineExceeded, RequestCancelled
from attendant.core.stacks import stack_of
from attendant.sidework.jobs import EndWork, SideJobs, Work

logger = logging.getLogger(__name__)

_LATE = "the deadline passed while the input waited to be run"
_HOPELESS = "the input has waited so long that the deadline would pass while it is run"


class RowRunner(Protocol):
    """Hands: computes rows together."""

    def run(self, rows: Sequence[Row]) -> Sequence[Arrays]:
        """The outputs of each row, in their order. Whatever it raises costs the rows that raise it alone, too."""
        ...


@dataclass(frozen=True, slots=True)
class Submit:
    """Inbox: rows to take in."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Inbox: rows to end if they still wait."""

    row_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Inbox: end the thread, whatever waits."""


Command = Submit | Cancel | Work | EndWork | Stop
Report = BatchReport | JobReport


class BatchThread:
    """Runs the rows of one model, batch after batch, until stopped. Every row ends in exactly one result or failure.

    A row that waits when it is cancelled, or when its deadline comes, is never run. The rows of a run that raised are
    run again in halves, before others, until those are found that fail alone. If all of them do, and ``probe``, too,
    the runner is of no use any more and the thread ends. Jobs run between batches, a run at a time, when it is their
    turn. The callbacks run on this thread and must not block.

    Args:
        name: of the model, for the thread and the log.
        deliver: takes reports, in order, none left out.
        on_death: takes the exception that ended the thread; nothing is delivered after it.
        probe: a row that nobody sent, to tell rows that fail from a runner that does.
        attention: computes jobs; None: there are none.
    """

    def __init__(
        self,
        name: str,
        runner: RowRunner,
        limits: BatchLimits,
        deliver: Callable[[Report], None],
        on_death: Callable[[BaseException], None],
        probe: Row | None = None,
        attention: AttentionModel | None = None,
    ) -> None:
        self._runner = runner
        self._limits = limits
        self._probe = probe
        self._deliver = deliver
        self._on_death = on_death
        self._waiting = RowQueue(limits.order)
        self._jobs = SideJobs(attention, deliver)
        self._suspects: deque[tuple[Row, ...]] = deque()  # parts of runs that raised
        self._any_saved = False  # of the run that raised last
        self._num_running = 0
        self._times = RunTimes()
        self._turn_ns = 0  # when the turn began that goes on
        self.busy_since_ns = 0  # when what it is at began; 0 while it waits for work. Any thread may look
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=f"batch-{name}", daemon=True)

    @property
    def num_running(self) -> int:
        """Rows of the run that goes on. Any thread may ask."""
        return self._num_running

    def where(self) -> str:
        """The calls that the thread is in. Any thread may ask."""
        return stack_of(self._thread)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, rows: Sequence[Row]) -> None:
        """Hand rows over. Any thread may call."""
        self._inbox.put(Submit(tuple(rows)))

    def cancel(self, row_ids: Sequence[str]) -> None:
        """Ask for rows to end; those that run go on to their end. Any thread may call."""
        self._inbox.put(Cancel(tuple(row_ids)))

    def work(self, job: AttentionJob) -> None:
        """Hand a job over. Any thread may call."""
        self._inbox.put(Work(job))

    def end_work(self, job_id: str) -> None:
        """Ask for a job to end before its next run. Any thread may call."""
        self._inbox.put(EndWork(job_id))

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the thread after the run it is in, whose report is delivered; rows that wait get no more."""
        if self._thread.is_alive():
            self._inbox.put(Stop())
            self._thread.join(timeout_s)

    def _main(self) -> None:
        try:
            while self._obey():
                started_ns = self.busy_since_ns = time.monotonic_ns()
                if self._due_in_s() == 0:
                    self._turn()
                    self._jobs.others_ran(time.monotonic_ns() - started_ns)
                if self._jobs.may_run(others_wait=self._others_wait()):
                    self._jobs.run(self._others_wait)
                self.busy_since_ns = 0
        except BaseException as error:  # supervision point: a dead thread must not go unnoticed
            logger.exception("the batch thread has ended")
            self._on_death(error)
        finally:
            self._jobs.close()

    def _obey(self) -> bool:
        """Carry out every command at hand, and those that come until a batch is due, or a run of a job. False: stop."""
        timeout_s: float | None = 0.0
        while True:
            try:
                command = self._inbox.get(block=timeout_s != 0, timeout=timeout_s)
            except queue.Empty:
                timeout_s = self._due_in_s()
                if timeout_s is None:
                    self._turn_ns = 0
                if timeout_s == 0 or self._jobs.may_run(others_wait=self._others_wait()):
                    return True
                continue
            match command:
                case Submit(rows):
                    now_ns = time.monotonic_ns()
                    for row in rows:
                        self._waiting.add(row, now_ns)
                case Cancel(row_ids):
                    self._end_waiting(row_ids)
                case Work(job):
                    self._jobs.add(job)
                case EndWork(job_id):
                    self._jobs.cancel(job_id)
                case Stop():
                    return False
            timeout_s = 0.0

    def _others_wait(self) -> bool:
        """Whether a batch is due, or somebody has come: rows that wait for others of their kind leave the time free."""
        return not self._inbox.empty() or self._due_in_s() == 0

    def _due_in_s(self) -> float | None:
        if len(self._suspects):
            return 0.0
        due_ns = due_in_ns(self._waiting, self._limits, time.monotonic_ns())
        return None if due_ns is None else due_ns / 1e9

    def _end_waiting(self, row_ids: Sequence[str]) -> None:
        rows = [row for row_id in row_ids if (row := self._waiting.take(row_id))]
        cancelled = frozenset(row_ids)
        for number, part in enumerate(self._suspects):
            rows += [row for row in part if row.id in cancelled]
            self._suspects[number] = tuple(row for row in part if row.id not in cancelled)
        now_ns = time.monotonic_ns()
        self._report_failures([RowFailure(row.id, _cancelled(row, now_ns)) for row in rows])

    def _turn(self) -> None:
        """One run of what is due, or of nothing if all of it has expired."""
        self._turn_ns = self._turn_ns or time.monotonic_ns()
        if self._suspects:
            self._run(self._take_suspects())
        else:
            self._any_saved = False
            self._run(self._take())

    def _take(self) -> Batch | None:
        """The next batch, which leaves the queue. Rows in it whose deadline has come, or would come before they are
        done, end, and it is chosen again."""
        while len(self._waiting):
            now_ns = time.monotonic_ns()
            batch = choose(self._waiting, self._limits, now_ns)
            expired = self._expired(batch.rows, self._least_ns(batch))
            if not expired:
                self._waiting.served(batch.rows, now_ns)
            for row in expired or batch.rows:
                self._waiting.take(row.id)
            if not expired:
                return batch
        return None

    def _take_suspects(self) -> Batch | None:
        """The next part of a run that raised, without rows whose deadline has come: they end."""
        rows = self._suspects.popleft()
        expired = {row.id for row in self._expired(rows)}
        return batch_of([row for row in rows if row.id not in expired], self._limits.layout)

    def _least_ns(self, batch: Batch) -> int:
        """How long the batch takes if it goes well; 0 where nobody asks, or where no other row waits: there is time to
        find out."""
        if not self._limits.end_hopeless or len(batch.rows) == len(self._waiting):
            return 0
        return round(self._times.least(batch.size) or 0)

    def _expired(self, rows: Sequence[Row], least_ns: int = 0) -> list[Row]:
        """Those whose deadline has come, or comes within ``least_ns`` nanoseconds; they have ended."""
        now_ns = time.monotonic_ns()
        expired = [row for row in rows if _is_late(row, now_ns + least_ns)]
        failures = [DeadlineExceeded(_LATE if _is_late(row, now_ns) else _HOPELESS) for row in expired]
        self._report_failures([RowFailure(row.id, error) for row, error in zip(expired, failures, strict=True)])
        return expired

    def _run(self, batch: Batch | None) -> None:
        if batch is None:
            return
        self._num_running = len(batch.rows)
        started_ns = time.monotonic_ns()
        try:
            outputs = self._runner.run(batch.rows)
        except Exception as error:  # noqa: BLE001
            # supervision point: a run that fails costs only rows that fail alone, too
            self._num_running = 0
            self._on_failed_run(batch, error)
            return
        run_ns = time.monotonic_ns() - started_ns
        self._num_running = 0
        self._any_saved = True
        ends = tuple([end_of(row, found, started_ns, run_ns) for row, found in zip(batch.rows, outputs, strict=True)])
        waiting = len(self._waiting) + sum(map(len, self._suspects))
        now_ns = time.monotonic_ns()
        turn_ns, self._turn_ns = now_ns - self._turn_ns, now_ns if waiting else 0
        self._times.take(batch.size, run_ns)
        stats = BatchStats(len(ends), batch.size, batch.padded_size, run_ns, waiting, turn_ns)
        self._deliver(BatchReport(ends, stats))

    def _on_failed_run(self, batch: Batch, error: Exception) -> None:
        ids = [row.id for row in batch.rows]
        if len(ids) > 1:
            logger.warning("a run of the rows %s failed; they run again apart: %s", ", ".join(ids), error)
            middle = len(ids) // 2
            self._suspects.extendleft((batch.rows[middle:], batch.rows[:middle]))
            return
        logger.error("the model run of row %s failed", ids[0], exc_info=error)
        self._report_failures([failed_run(ids[0], error)])
        if not self._suspects and not self._any_saved:
            self._look_after_all_failed()

    def _look_after_all_failed(self) -> None:
        """Raises what the runner raises for a row that nobody sent."""
        if self._probe is not None:
            self._runner.run([self._probe])

    def _report_failures(self, failures: Sequence[RowFailure]) -> None:
        if failures:
            self._deliver(BatchReport(tuple(failures)))


def _is_late(row: Row, now_ns: int) -> bool:
    return row.deadline_ns is not None and row.deadline_ns <= now_ns


def _cancelled(row: Row, now_ns: int) -> DeadlineExceeded | RequestCancelled:
    """Why a row ends whose call was cancelled: the transport cancels at the deadline, too."""
    return DeadlineExceeded(_LATE) if _is_late(row, now_ns) else RequestCancelled("the call was cancelled")
