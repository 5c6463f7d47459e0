"""Several servers of one bundle on ports that stay theirs, which can be taken away and come back."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.system.server import ServerProcess, serving


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


PACED = str(Path(__file__).with_name("paced_server.py"))


class Replica:
    """One server.

    Args:
        pause_s: that each of its steps takes longer; None: it is a server as it is.
        engine: the name of a model that is served as an engine for gateways, too, on a port that stays; None: of none.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        arguments: Sequence[object],
        pause_s: float | None = None,
        engine: str | None = None,
    ) -> None:
        self._folder, self._number = folder, number
        self._command = ("-m", "attendant", "serve") if pause_s is None else (PACED, str(pause_s))
        self.engine_port = free_port()
        self._arguments = [*arguments, *(("--vllm-engine", f"{self.engine_port}={engine}") if engine else ())]
        self.ports = free_port(), free_port()
        self._starts = 0
        self._scope = ExitStack()
        self.server = self._start()

    def _start(self) -> ServerProcess:
        log = self._folder / f"{self._number}-{self._starts}.log"
        self._starts += 1
        return self._scope.enter_context(serving(log, *self._arguments, command=self._command, ports=self.ports))

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
def replicas(
    folder: Path, pauses_s: Sequence[float | None], *arguments: object, engine: str | None = None
) -> Iterator[list[Replica]]:
    """A server for each of the pauses; see :class:`Replica`."""
    with ExitStack() as stack:
        found = []
        for number, pause_s in enumerate(pauses_s):
            found.append(Replica(folder, number, arguments, pause_s, engine))
            stack.callback(found[-1].close)
        yield found
