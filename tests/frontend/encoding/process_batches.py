"""The batches of a model in a process of its own, as a client of the front end's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attendant.batching.client import Deliver, OnDeath, ThreadBatchClient
from attendant.batching.thread import Cancel, Submit
from attendant.core.attention import AttentionJob
from attendant.core.encoding import Row
from attendant.sidework.jobs import EndWork, Work

from tests.frontend.child import Child
from tests.frontend.encoding import helpers


class ProcessBatchClient:
    """See :class:`attendant.batching.client.BatchClient`. The child loads the bundle before this is made."""

    num_running = 0  # it is not told

    def __init__(self, bundle: Path) -> None:
        self._child = Child(_Batches, bundle)
        self.process = self._child.process

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        self._child.start(deliver, on_death)

    def submit(self, rows: Sequence[Row]) -> None:
        self._child.tell(Submit(tuple(rows)))

    def cancel(self, row_ids: Sequence[str]) -> None:
        self._child.tell(Cancel(tuple(row_ids)))

    def work(self, job: AttentionJob) -> None:
        self._child.tell(Work(job))

    def end_work(self, job_id: str) -> None:
        self._child.tell(EndWork(job_id))

    busy_since_ns = 0  # it is not told

    def where(self) -> str:
        return ""

    def kill(self) -> bool:
        self._child.process.kill()
        return True

    def stop(self) -> None:
        self._child.stop()


class _Batches(ThreadBatchClient):
    """In the child."""

    facts = None

    def __init__(self, bundle: Path) -> None:
        part = helpers.load(bundle)
        super().__init__("child", part.runner, part.limits, part.probe, part.attention)

    def take(self, message: Submit | Cancel | Work | EndWork) -> None:
        match message:
            case Submit(rows):
                self.submit(rows)
            case Cancel(row_ids):
                self.cancel(row_ids)
            case Work(job):
                self.work(job)
            case EndWork(job_id):
                self.end_work(job_id)
