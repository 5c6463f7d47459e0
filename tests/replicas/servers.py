"""Several servers of one bundle on ports that stay theirs, which can be taken away and come back."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.system.server import ServerProcess, serving


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Replica:
    """One server."""

    def __init__(self, folder: Path, number: int, arguments: tuple[object, ...]) -> None:
        self._folder, self._number, self._arguments = folder, number, arguments
        self.ports = free_port(), free_port()
        self._starts = 0
        self._scope = ExitStack()
        self.server = self._start()

    def _start(self) -> ServerProcess:
        log = self._folder / f"{self._number}-{self._starts}.log"
        self._starts += 1
        return self._scope.enter_context(serving(log, *self._arguments, ports=self.ports))

    def restart(self) -> int:
        """SIGTERM, and a new process when it has ended. Returns the exit code of the old one."""
        self.server.terminate()
        code = self.server.wait()
        self.close()
        self.server = self._start()
        return code

    def kill(self) -> None:
        """SIGKILL."""
        self.server.process.kill()

    def close(self) -> None:
        """End its process."""
        self._scope.close()
        self._scope = ExitStack()


@contextmanager
def replicas(folder: Path, count: int, *arguments: object) -> Iterator[list[Replica]]:
    """So many servers."""
    with ExitStack() as stack:
        found = []
        for number in range(count):
            found.append(Replica(folder, number, arguments))
            stack.callback(found[-1].close)
        yield found


class Slowed:
    """Has a process run a third of the time, in pieces of 10 ms."""

    def __init__(self, process_id: int, run_s: float = 0.01, rest_s: float = 0.02) -> None:
        self._id, self._run_s, self._rest_s = process_id, run_s, rest_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._alternate, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _alternate(self) -> None:
        while not self._ended.is_set():
            os.kill(self._id, signal.SIGSTOP)
            time.sleep(self._rest_s)
            os.kill(self._id, signal.SIGCONT)
            time.sleep(self._run_s)
