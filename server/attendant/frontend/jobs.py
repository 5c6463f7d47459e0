"""Jobs that a model's thread computes beside its other work, on the loop's side: who waits for which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from attendant.core.attention import AttentionJob, JobFailure, JobReport, JobResult
from attendant.core.errors import AttendantError
from attendant.frontend.admission import Gate


class JobHub:
    """The live jobs of one thread. Create it inside the running event loop; everything here runs on the loop's thread.

    A place at the model's gate is taken for each job before it is handed over, and comes back when the job ends.

    Args:
        gate: of the model.
        work: hands a job over. end_work: asks for one to end.
        ran: told what the runs of a job that has ended took together, in nanoseconds.
    """

    def __init__(
        self,
        gate: Gate,
        work: Callable[[AttentionJob], None],
        end_work: Callable[[str], None],
        ran: Callable[[int], None],
    ) -> None:
        self._gate = gate
        self._work = work
        self._end_work = end_work
        self._ran = ran
        self._loop = asyncio.get_running_loop()
        self._live: dict[str, asyncio.Future[JobResult]] = {}

    async def run(self, job: AttentionJob) -> JobResult:
        """Compute a job of a call that was let in. If the task is cancelled, the job ends before its next run.

        Raises:
            QueueFull, Draining, EngineDead: it was not taken.
            DeadlineExceeded, StepFailed: it has failed.
        """
        assert job.id not in self._live, f"job {job.id} is live already"
        self._gate.take(inner=True)
        done: asyncio.Future[JobResult] = self._loop.create_future()
        self._live[job.id] = done
        self._work(job)
        try:
            return await done
        except asyncio.CancelledError:
            self._end_work(job.id)
            raise

    def on_report(self, report: JobReport) -> None:
        """Take the ends of jobs in."""
        for end in report.ends:
            done = self._live.pop(end.id, None)
            if done is None:
                continue
            self._gate.give_back()
            self._ran(end.run_ns)
            if done.done():  # its caller went away
                continue
            if isinstance(end, JobFailure):
                done.set_exception(end.error)
            else:
                done.set_result(end)

    def end_with(self, error: AttendantError) -> None:
        """End every job with this error: at once for its call, before its next run for its thread."""
        for job_id, done in self._live.items():
            if not done.done():
                done.set_exception(error)
            self._end_work(job_id)

    def fail_all(self, error: AttendantError) -> None:
        """The thread has ended: so have its jobs."""
        self.on_report(JobReport(tuple([JobFailure(job_id, error) for job_id in self._live])))
