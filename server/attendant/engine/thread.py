"""The engine's thread: the one place where requests cross into it and reports cross out of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from attendant.core.attention import AttentionJob, AttentionModel, JobReport
from attendant.core.events import StepReport
from attendant.core.request import Request
from attendant.core.stacks import stack_of
from attendant.engine.engine import Engine
from attendant.sidework.jobs import EndWork, SideJobs, Work

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Submit:
    """Inbox: a request to take in."""

    request: Request


@dataclass(frozen=True, slots=True)
class Cancel:
    """Inbox: a request to end."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Inbox: end the thread, whatever is running."""


Command = Submit | Cancel | Work | EndWork | Stop
Report = StepReport | JobReport


class EngineThread:
    """Runs an engine until stopped. The callbacks run on the engine's thread and must not block.

    A step's report is delivered when the next step has been launched, so that its readers work while the device runs
    and not while the next run is being prepared; when no work is left, at once. Before it waits for work, the engine's
    accounts are checked. Jobs run between steps, a run at a time, when it is their turn.

    Args:
        name: of the engine, for the thread and the log.
        deliver: takes the report of each step, in order, none left out, and those of jobs.
        on_death: takes the exception that ended the thread; nothing is delivered after it.
        attention: computes jobs; None: there are none.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        deliver: Callable[[Report], None],
        on_death: Callable[[BaseException], None],
        attention: AttentionModel | None = None,
    ) -> None:
        self._engine = engine
        self._deliver = deliver
        self._on_death = on_death
        self._jobs = SideJobs(attention, deliver)
        self._told = False  # the engine, of something that its next step reports
        self._report: StepReport | None = None  # not delivered yet
        self.busy_since_ns = 0  # when what it is at began; 0 while it waits for work. Any thread may look
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._prepared: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name=f"engine-{name}", daemon=True)

    def where(self) -> str:
        """The calls that the thread is in. Any thread may ask."""
        return stack_of(self._thread)

    def start(self) -> None:
        """Start the thread and wait until its engine is prepared, which may take minutes.

        Raises:
            Exception: what kept the engine from being prepared; the thread has ended.
        """
        self._thread.start()
        self._prepared.result()

    def tell(self, command: Command) -> None:
        """Hand a command over, in the order of others. Any thread may call."""
        self._inbox.put(command)

    def submit(self, request: Request) -> None:
        """Hand a request over. Any thread may call."""
        self._inbox.put(Submit(request))

    def cancel(self, request_id: str) -> None:
        """Ask for a request to end before the next step. Any thread may call."""
        self._inbox.put(Cancel(request_id))

    def work(self, job: AttentionJob) -> None:
        """Hand a job over. Any thread may call."""
        self._inbox.put(Work(job))

    def end_work(self, job_id: str) -> None:
        """Ask for a job to end before its next run. Any thread may call."""
        self._inbox.put(EndWork(job_id))

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the thread after the step it is in, whose report is delivered; requests that still run get no more."""
        if self._thread.is_alive():
            self._inbox.put(Stop())
            self._thread.join(timeout_s)

    def _main(self) -> None:
        try:
            self._engine.prepare()
        except BaseException as error:  # noqa: BLE001 - supervision point: it is raised where the thread was started
            self._prepared.set_exception(error)
            return
        self._prepared.set_result(None)
        try:
            try:
                while self._obey():
                    self._turn()
            finally:
                self._flush()
                self._jobs.close()
        except BaseException as error:  # supervision point: a dead engine must not go unnoticed
            logger.exception("the engine thread has ended")
            self._on_death(error)

    def _turn(self) -> None:
        """A step, and a run of a job if it is its turn, before which the step's tokens leave."""
        self.busy_since_ns = time.monotonic_ns()
        if self._told or self._engine.has_work:
            self._told = False
            self._step()
            self._jobs.others_ran(time.monotonic_ns() - self.busy_since_ns)
        if self._jobs.may_run(others_wait=self._others_wait()):
            self._flush()
            self.busy_since_ns = time.monotonic_ns()
            self._jobs.run(self._others_wait)
        self.busy_since_ns = 0

    def _others_wait(self) -> bool:
        return self._engine.has_work or not self._inbox.empty()

    def _step(self) -> None:
        self._engine.begin()
        self._flush()
        self._report = self._engine.finish()
        if not self._engine.has_work:
            self._flush()

    def _flush(self) -> None:
        """Deliver the report that is still here."""
        report, self._report = self._report, None
        if report is not None:
            self._deliver(report)

    def _obey(self) -> bool:
        """Carry out every command at hand, waiting for one if there is no work. False: stop."""
        block = not (self._engine.has_work or self._jobs.has_work)
        if block:
            self._engine.check()
        while True:
            try:
                command = self._inbox.get(block=block)
            except queue.Empty:
                return True
            match command:
                case Submit(request):
                    self._engine.submit(request)
                    self._told = True
                case Cancel(request_id):
                    self._engine.cancel(request_id)
                    self._told = True
                case Work(job):
                    self._jobs.add(job)
                case EndWork(job_id):
                    self._jobs.cancel(job_id)
                case Stop():
                    return False
            block = False
