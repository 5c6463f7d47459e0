"""What is known of a model's batches from outside: a client with four verbs, wherever the rows run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attendant.batching.policy import BatchLimits
from attendant.batching.thread import BatchThread, Report, RowRunner
from attendant.core.attention import AttentionJob, AttentionModel
from attendant.core.encoding import Row

Deliver = Callable[[Report], None]
OnDeath = Callable[[BaseException], None]


class BatchClient(Protocol):
    """A model that encodes, as the front end sees it. What crosses here, either way, can be pickled."""

    @property
    def num_running(self) -> int:
        """Rows of the run that goes on. Any thread may ask."""

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        """Begin to take rows. To be called once.

        Args:
            deliver: takes reports, of rows and of jobs, in order, none left out, on a thread of the client's.
            on_death: takes the exception that ended everything, on such a thread; nothing is delivered after it.
        """

    def submit(self, rows: Sequence[Row]) -> None:
        """Hand rows over. Each ends in exactly one result or failure, unless all stops or dies before."""

    def cancel(self, row_ids: Sequence[str]) -> None:
        """Ask for rows to end; those that run go on to their end, and those not known have ended already."""

    def work(self, job: AttentionJob) -> None:
        """Hand a job over, to batches that have what computes it. It ends in exactly one report, unless all stops or
        dies before."""

    def end_work(self, job_id: str) -> None:
        """Ask for a job to end before its next run; one that is not known has ended already."""

    @property
    def busy_since_ns(self) -> int:
        """When what it is at began, a step or a run, monotonic; 0 while it is at nothing. Any thread may ask."""

    def where(self) -> str:
        """Where it stands in what it is at, for the log: the calls of its thread; empty if nobody can tell."""

    def kill(self) -> bool:
        """End it in the middle of what it is at: ``on_death`` hears of it. False: it cannot be ended, as it is a thread
        of this process."""

    def stop(self) -> None:
        """End after the run that goes on, whose report is delivered. Rows and jobs that wait get no more. Blocks."""


class ThreadBatchClient:
    """Batches in this process, on a thread of their own; see :class:`BatchClient` and, for the arguments,
    :class:`attendant.batching.thread.BatchThread`."""

    def __init__(
        self,
        name: str,
        runner: RowRunner,
        limits: BatchLimits,
        probe: Row | None = None,
        attention: AttentionModel | None = None,
    ) -> None:
        self._name = name
        self._runner = runner
        self._limits = limits
        self._probe = probe
        self._attention = attention
        self._thread: BatchThread | None = None

    @property
    def num_running(self) -> int:
        """See :class:`BatchClient`."""
        return self._thread.num_running if self._thread is not None else 0

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        """See :class:`BatchClient`."""
        assert self._thread is None, "it starts once"
        self._thread = BatchThread(
            self._name, self._runner, self._limits, deliver, on_death, self._probe, self._attention
        )
        self._thread.start()

    def submit(self, rows: Sequence[Row]) -> None:
        """See :class:`BatchClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.submit(rows)

    def cancel(self, row_ids: Sequence[str]) -> None:
        """See :class:`BatchClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.cancel(row_ids)

    def work(self, job: AttentionJob) -> None:
        """See :class:`BatchClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.work(job)

    def end_work(self, job_id: str) -> None:
        """See :class:`BatchClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.end_work(job_id)

    @property
    def busy_since_ns(self) -> int:
        """See :class:`BatchClient`."""
        return self._thread.busy_since_ns if self._thread is not None else 0

    def where(self) -> str:
        """See :class:`BatchClient`."""
        return self._thread.where() if self._thread is not None else ""

    def kill(self) -> bool:
        """See :class:`BatchClient`."""
        return False

    def stop(self) -> None:
        """See :class:`BatchClient`."""
        if self._thread is not None:
            self._thread.stop()
