"""The far side of a client in a process of its own, behind a pipe."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

from attendant.core.errors import EngineDead


class Served(Protocol):
    """What a child runs."""

    @property
    def facts(self) -> Any:
        """Told before the start."""

    def start(self, deliver: Callable[[Any], None], on_death: Callable[[BaseException], None]) -> None: ...

    def take(self, message: Any) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Start:
    """To the child. It says ``Prepared``."""


@dataclass(frozen=True)
class Prepared:
    """From the child: it has started."""


@dataclass(frozen=True)
class Stop:
    """To the child. ``Stopped`` is its last word."""


@dataclass(frozen=True)
class Stopped:
    """From the child."""


class Child:
    """Runs what ``make(*arguments)`` returns, which it has made once this is there."""

    def __init__(self, make: Callable[..., Served], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self.process = context.Process(target=_main, args=(there, make, arguments), daemon=True)
        self.process.start()
        there.close()
        self.facts = self._pipe.recv()

    def start(self, deliver: Callable[[Any], None], on_death: Callable[[BaseException], None]) -> None:
        self._pipe.send(Start())
        assert self._pipe.recv() == Prepared()
        self._reader = threading.Thread(target=self._read, args=(deliver, on_death), daemon=True)
        self._reader.start()

    def tell(self, message: object) -> None:
        """One that is dead does not hear it, and its reader has said so."""
        try:
            self._pipe.send(message)
        except BrokenPipeError:
            return

    def stop(self) -> None:
        self.tell(Stop())
        self.process.join(300)
        assert self.process.exitcode is not None
        self._reader.join(300)
        self._pipe.close()

    def _read(self, deliver: Callable[[Any], None], on_death: Callable[[BaseException], None]) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                message = EngineDead("the process of the engine has ended")
            match message:
                case Stopped():
                    return
                case BaseException():
                    on_death(message)
                    return
                case report:
                    deliver(report)


def _main(pipe: Connection, make: Callable[..., Served], arguments: tuple[object, ...]) -> None:
    """The child: carries out what it is told until it is told to stop."""
    served = make(*arguments)
    pipe.send(served.facts)
    sending = threading.Lock()

    def send(message: object) -> None:
        with sending:
            pipe.send(message)

    while True:
        match pipe.recv():
            case Start():
                served.start(send, send)
                send(Prepared())
            case Stop():
                served.stop()
                send(Stopped())
                return
            case message:
                served.take(message)
