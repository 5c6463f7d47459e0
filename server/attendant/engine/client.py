"""What is known of an engine from outside: a client with four verbs, wherever the engine runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attendant.core.attention import AttentionJob, AttentionModel
from attendant.core.request import Request
from attendant.engine.engine import Engine
from attendant.engine.facts import EngineFacts
from attendant.engine.thread import Command, EngineThread, Report

Deliver = Callable[[Report], None]
OnDeath = Callable[[BaseException], None]


class EngineClient(Protocol):
    """An engine as the front end sees it. What crosses here, either way, can be pickled: the engine may live in another
    process of this machine, whose monotonic clock is the same. ``start`` and ``stop`` may block for long, the others do
    not; none is called by two threads at once.
    """

    @property
    def facts(self) -> EngineFacts:
        """What never changes, known before the start."""

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        """Start the engine and wait until it is prepared, which may take minutes. To be called once.

        Args:
            deliver: takes the report of each step, in order, none left out, and those of jobs, on a thread of the
                client's.
            on_death: takes the exception that ended the engine, on such a thread; nothing is delivered after it.

        Raises:
            Exception: what kept the engine from being prepared. It does not run, and never will.
        """

    def submit(self, request: Request) -> None:
        """Hand a request over. It ends in exactly one terminal event, unless the engine stops or dies before."""

    def cancel(self, request_id: str) -> None:
        """Ask for a request to end before the next step; one that is not known has ended already."""

    def work(self, job: AttentionJob) -> None:
        """Hand a job over, to an engine that has what computes it. It ends in exactly one report, unless the engine
        stops or dies before."""

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
        """End the engine after the step it is in, whose report is delivered. Requests and jobs that still run get no
        more."""


class ThreadEngineClient:
    """An engine in this process, on a thread of its own; see :class:`EngineClient`. ``attention``: computes jobs."""

    def __init__(self, name: str, engine: Engine, attention: AttentionModel | None = None) -> None:
        self.facts = engine.facts(name)
        self._engine = engine
        self._attention = attention
        self._thread: EngineThread | None = None

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        """See :class:`EngineClient`."""
        assert self._thread is None, "an engine starts once"
        self._thread = EngineThread(self.facts.name, self._engine, deliver, on_death, self._attention)
        self._thread.start()

    def tell(self, command: Command) -> None:
        """Hand over what :meth:`submit` and its like would, in the words of the thread."""
        assert self._thread is not None, "it has not started"
        self._thread.tell(command)

    def submit(self, request: Request) -> None:
        """See :class:`EngineClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.submit(request)

    def cancel(self, request_id: str) -> None:
        """See :class:`EngineClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.cancel(request_id)

    def work(self, job: AttentionJob) -> None:
        """See :class:`EngineClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.work(job)

    def end_work(self, job_id: str) -> None:
        """See :class:`EngineClient`."""
        assert self._thread is not None, "it has not started"
        self._thread.end_work(job_id)

    @property
    def busy_since_ns(self) -> int:
        """See :class:`EngineClient`."""
        return self._thread.busy_since_ns if self._thread is not None else 0

    def where(self) -> str:
        """See :class:`EngineClient`."""
        return self._thread.where() if self._thread is not None else ""

    def kill(self) -> bool:
        """See :class:`EngineClient`."""
        return False

    def stop(self) -> None:
        """See :class:`EngineClient`."""
        if self._thread is not None:
            self._thread.stop()
