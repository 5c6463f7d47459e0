"""A process of its own for what may harm a device, or never gives its memory back until it ends."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_END_S = 60.0


class WorkFailed(Exception):
    """What a worker was to do failed there; the message has its traceback, or how the process ended."""


class Worker:
    """Runs functions of modules, one at a time, in a process that is started when it is needed.

    After a failure the next call gets a new process: an error may leave a CUDA context of no use.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: Callable[..., Result], *arguments: Any, timeout_s: float, **keywords: Any) -> Result:
        """``function(*arguments, **keywords)``.

        Raises:
            WorkFailed: it raised, ended its process, or took longer than ``timeout_s``.
        """
        process, pipe = self._started()
        try:
            pipe.send((function, arguments, keywords))
            if not pipe.poll(timeout_s):
                raise WorkFailed(f"{function.__name__} took longer than {timeout_s:.0f} s")
            done, found = pipe.recv()
        except (EOFError, OSError):
            process.join(_END_S)
            self.close()
            raise WorkFailed(f"the process of {function.__name__} ended with code {process.exitcode}") from None
        except BaseException:
            process.terminate()
            self.close()
            raise
        if not done:
            self.close()
            raise WorkFailed(found)
        result: Result = found
        return result

    def fresh(self, function: Callable[..., Result], *arguments: Any, timeout_s: float, **keywords: Any) -> Result:
        """:meth:`call` in a process that did nothing before and ends afterwards."""
        self.close()
        try:
            return self.call(function, *arguments, timeout_s=timeout_s, **keywords)
        finally:
            self.close()

    def close(self) -> None:
        """End the process, and give it time to end what it started."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is None or pipe is None:
            return
        pipe.close()  # which ends its loop
        process.join(_END_S)
        if process.is_alive():
            process.kill()
            process.join()

    def _started(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        if self._process is None or self._pipe is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(theirs,))
            self._process.start()
            theirs.close()
        return self._process, self._pipe


def _serve(pipe: Connection) -> None:
    """Until the other end is closed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwinds, so that a server ends, too
    while True:
        try:
            function, arguments, keywords = pipe.recv()
        except EOFError:
            return
        try:
            found = True, function(*arguments, **keywords)
        except Exception:  # noqa: BLE001 - supervision point: the caller raises it
            found = False, traceback.format_exc()
        pipe.send(found)
