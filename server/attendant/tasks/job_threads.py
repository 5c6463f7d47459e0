"""A few threads for jobs that take long, such as decoding media: they bound how many are done at once, and nobody waits
for them at exit."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class JobThreads:
    """Runs jobs in order of arrival. The threads are daemons, which those of concurrent.futures cannot be.

    Args:
        count: of the threads, which start with the first job.
        name: of what they do. stack_bytes: of each thread's stack; 0 for the usual one.
    """

    _Job = tuple[Future[Any], Callable[[], Any]]

    def __init__(self, count: int, name: str = "media", stack_bytes: int = 0) -> None:
        self._count = count
        self._name = name
        self._stack_bytes = stack_bytes
        self._jobs: queue.SimpleQueue[JobThreads._Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """What ``job`` will return. A future that is cancelled before its turn is never run.

        The job runs in the caller's context, so that lines that it logs are known to be of the caller's call.

        Raises:
            RuntimeError: there is no thread, and the machine gives none. The job is not kept.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._running < self._count:
                self._start()
            self._jobs.put((future, partial(copy_context().run, job)))
        return future

    def _start(self) -> None:
        """Start the threads that are not there; the lock is held. Where the machine gives fewer, these do all."""
        usual = threading.stack_size(self._stack_bytes)
        try:
            while self._running < self._count:
                threading.Thread(target=self._work, name=f"{self._name}-{self._running}", daemon=True).start()
                self._running += 1
        except RuntimeError:
            if self._running == 0:
                raise
        finally:
            threading.stack_size(usual)

    async def run(self, job: Callable[[], T]) -> T:
        """What ``job`` returns, for a task on a loop. It is not begun if the task is cancelled before its turn."""
        return await asyncio.wrap_future(self.submit(job))

    def close(self) -> None:
        """End the threads once the jobs that wait are done. A later job starts them anew."""
        with self._lock:
            for _ in range(self._running):
                self._jobs.put(None)
            self._running = 0

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _run(*job)
            del job  # what it read and made is not kept until the next one comes


def _run(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        future.set_exception(error)
    else:
        future.set_result(result)
