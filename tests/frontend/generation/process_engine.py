"""An engine in a process of its own, as a client of the front end's."""

from __future__ import annotations

from pathlib import Path

from attendant.core.attention import AttentionJob
from attendant.core.request import Request
from attendant.engine.client import Deliver, OnDeath, ThreadEngineClient
from attendant.engine.facts import EngineFacts
from attendant.engine.thread import Cancel, Submit
from attendant.sidework.jobs import EndWork, Work

from tests.frontend.child import Child
from tests.frontend.generation import helpers


class ProcessEngineClient:
    """See :class:`attendant.engine.client.EngineClient`. The child loads the bundle before this is made."""

    def __init__(self, bundle: Path) -> None:
        self._child = Child(_Engine, bundle)
        self.process = self._child.process
        self.facts: EngineFacts = self._child.facts

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        self._child.start(deliver, on_death)

    def submit(self, request: Request) -> None:
        self._child.tell(Submit(request))

    def cancel(self, request_id: str) -> None:
        self._child.tell(Cancel(request_id))

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


class _Engine(ThreadEngineClient):
    """In the child."""

    def __init__(self, bundle: Path) -> None:
        part = helpers.load(bundle)
        super().__init__("child-0", part.engines[0], part.attention)

    def take(self, message: Submit | Cancel | Work | EndWork) -> None:
        match message:
            case Submit(request):
                self.submit(request)
            case Cancel(request_id):
                self.cancel(request_id)
            case Work(job):
                self.work(job)
            case EndWork(job_id):
                self.end_work(job_id)
