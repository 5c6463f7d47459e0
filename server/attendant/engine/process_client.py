"""An engine in a process of its own, as a client of the front end's: what it is told and tells goes through a pipe."""

from __future__ import annotations

from attendant.core.attention import AttentionJob
from attendant.core.request import Request
from attendant.engine.client import Deliver, OnDeath
from attendant.engine.facts import EngineFacts
from attendant.engine.thread import Cancel, Submit
from attendant.processes.child import Child
from attendant.sidework.jobs import EndWork, Work


class ProcessEngineClient:
    """See :class:`attendant.engine.client.EngineClient`.

    Args:
        child: the process. index: of the engine among its services.
    """

    def __init__(self, child: Child, index: int, facts: EngineFacts) -> None:
        self.facts = facts
        self._child = child
        self._index = index

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        """See :class:`~attendant.engine.client.EngineClient`."""
        self._child.start(self._index, deliver, on_death)

    def submit(self, request: Request) -> None:
        """See :class:`~attendant.engine.client.EngineClient`."""
        self._child.tell(self._index, Submit(request))

    def cancel(self, request_id: str) -> None:
        """See :class:`~attendant.engine.client.EngineClient`."""
        self._child.tell(self._index, Cancel(request_id))

    def work(self, job: AttentionJob) -> None:
        """See :class:`~attendant.engine.client.EngineClient`."""
        self._child.tell(self._index, Work(job))

    def end_work(self, job_id: str) -> None:
        """See :class:`~attendant.engine.client.EngineClient`."""
        self._child.tell(self._index, EndWork(job_id))

    @property
    def busy_since_ns(self) -> int:
        """See :class:`~attendant.engine.client.EngineClient`; as the process said a moment ago."""
        return self._child.busy_since_ns(self._index)

    def where(self) -> str:
        """See :class:`~attendant.engine.client.EngineClient`; as the process said a moment ago."""
        return self._child.where(self._index)

    def stop(self) -> None:
        """See :class:`~attendant.engine.client.EngineClient`."""
        self._child.stop(self._index)

    def kill(self) -> bool:
        """See :class:`~attendant.engine.client.EngineClient`. Other engines of the process end with it."""
        self._child.kill()
        return True
