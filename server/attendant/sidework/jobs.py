"""The jobs of one model that wait, and the one that runs: a run at a time, on the thread that calls."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attendant.core.attention import AttentionJob, AttentionModel, AttentionRun, JobFailure, JobReport, JobResult
from attendant.core.errors import AttendantError, DeadlineExceeded, RequestCancelled, StepFailed
from attendant.sidework.reducer import Reducer
from attendant.sidework.share import TimeShare

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """To a model's thread: a job to take in."""

    job: AttentionJob


@dataclass(frozen=True, slots=True)
class EndWork:
    """To a model's thread: a job to end."""

    job_id: str


class SideJobs:
    """Runs jobs beside the work of a thread, which owns it, in the order they came. Each ends in exactly one result or
    failure, unless the thread ends before.

    Args:
        model: computes them; None: this thread has no jobs.
        deliver: takes what has ended.
    """

    def __init__(self, model: AttentionModel | None, deliver: Callable[[JobReport], None]) -> None:
        self._model = model
        self._deliver = deliver
        self._share = TimeShare()
        self._waiting: deque[AttentionJob] = deque()
        self._running: _Running | None = None

    @property
    def has_work(self) -> bool:
        """Whether a job waits or runs."""
        return self._running is not None or bool(self._waiting)

    def may_run(self, *, others_wait: bool) -> bool:
        """Whether there is a job, and it is its turn."""
        return self.has_work and self._share.may_run(others_wait=others_wait)

    def others_ran(self, duration_ns: int) -> None:
        """The thread's other work took so long."""
        self._share.others_ran(duration_ns)

    def add(self, job: AttentionJob) -> None:
        """Take a job in."""
        assert self._model is not None, "whoever sends jobs has looked"
        self._waiting.append(job)

    def cancel(self, job_id: str) -> None:
        """End a job, if it has not ended."""
        if self._running is not None and self._running.job.id == job_id:
            self._end(JobFailure(job_id, _cancelled(self._running.job), self._running.run_ns))
            return
        for job in self._waiting:
            if job.id == job_id:
                self._waiting.remove(job)
                self._deliver(JobReport((JobFailure(job_id, _cancelled(job)),)))
                return

    def run(self, others_wait: Callable[[], bool]) -> None:
        """One run of the oldest job, whose turn it is; those whose deadline has come end before. ``others_wait``: tells
        whether others do, at its begin and at its end."""
        self._end_late()
        if self._running is None:
            if not self._waiting:
                return
            assert self._model is not None
            self._running = _Running(self._waiting.popleft(), self._model)
        started_ns, others_waited = time.monotonic_ns(), others_wait()
        running = self._running
        try:
            result = running.advance()
        except Exception as error:
            logger.error("a run of job %s failed", running.job.id, exc_info=error)
            said = f"a run of this call failed; the server's log has the cause, of {running.job.id}"
            failed = StepFailed(said)
            failed.__cause__ = error
            self._end(JobFailure(running.job.id, failed, running.run_ns))
        else:
            if result is not None:
                self._end(result)
        spent_ns = time.monotonic_ns() - started_ns
        self._share.ran(spent_ns, running.job.share, others_waited=others_waited or others_wait())

    def close(self) -> None:
        """Let go of everything; nobody hears of it any more."""
        if self._running is not None:
            self._running.close()
            self._running = None
        self._waiting.clear()

    def _end_late(self) -> None:
        now_ns = time.monotonic_ns()
        late = [job for job in self._waiting if _is_late(job, now_ns)]
        for job in late:
            self._waiting.remove(job)
            self._deliver(
                JobReport((JobFailure(job.id, DeadlineExceeded("the deadline passed while it was waiting")),))
            )
        if self._running is not None and _is_late(self._running.job, now_ns):
            error = DeadlineExceeded("the deadline passed while it was running")
            self._end(JobFailure(self._running.job.id, error, self._running.run_ns))

    def _end(self, end: JobResult | JobFailure) -> None:
        """The running job has ended."""
        assert self._running is not None
        self._running.close()
        self._running = None
        self._deliver(JobReport((end,)))


class _Running:
    """A job between its runs, and what is kept of those that were."""

    def __init__(self, job: AttentionJob, model: AttentionModel) -> None:
        self.job = job
        self.run_ns = 0
        self._started_ns = time.monotonic_ns()
        self._runs: Iterator[AttentionRun] = model.runs(job.subject)
        shapes = {shape.kind: shape for shape in model.shapes}
        self._reducer = Reducer(job.view, shapes[job.view.kind]) if job.view is not None else None
        self._hidden: list[npt.NDArray[np.float32]] = []

    def advance(self) -> JobResult | None:
        """One run; the result, if it was the last that matters."""
        started_ns = time.monotonic_ns()
        try:
            run = next(self._runs, None)
            if run is not None:
                if self._reducer is not None:
                    self._reducer.take(run)
                if self.job.keeps_hidden and run.hidden is not None:
                    self._hidden.append(run.hidden.copy())
                if self.job.keeps_hidden or self._reducer is None or not self._reducer.complete:
                    return None
            pieces = self._reducer.pieces() if self._reducer is not None else ()
            hidden = np.concatenate(self._hidden) if self._hidden else None
        finally:
            self.run_ns += time.monotonic_ns() - started_ns
        return JobResult(self.job.id, pieces, hidden, self._started_ns, self.run_ns)

    def close(self) -> None:
        """Stop where it stands."""
        close = getattr(self._runs, "close", None)
        if close is not None:
            close()


def _is_late(job: AttentionJob, now_ns: int) -> bool:
    return job.deadline_ns is not None and job.deadline_ns <= now_ns


def _cancelled(job: AttentionJob) -> AttendantError:
    """Why a job ends whose call was cancelled: the transport cancels at the deadline, too."""
    if _is_late(job, time.monotonic_ns()):
        return DeadlineExceeded("the deadline passed")
    return RequestCancelled("the call was cancelled")
