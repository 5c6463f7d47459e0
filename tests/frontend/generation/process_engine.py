"""An engine in a process of its own, behind a pipe, as a client of the front end's."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from attendant.core.errors import EngineDead
from attendant.core.events import StepReport
from attendant.core.request import Request
from attendant.engine.client import Deliver, OnDeath, ThreadEngineClient
from attendant.engine.facts import EngineFacts
from attendant.engine.thread import Cancel, Stop, Submit

from tests.frontend.generation import helpers


@dataclass(frozen=True)
class Start:
    """To the child: prepare the engine. It says ``Prepared``, or what kept it from that."""


@dataclass(frozen=True)
class Prepared:
    error: BaseException | None = None


@dataclass(frozen=True)
class Stopped:
    """From the child: the last word."""


class ProcessEngineClient:
    """See :class:`attendant.engine.client.EngineClient`. The child loads the bundle before this is made."""

    def __init__(self, bundle: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self.process = context.Process(target=_main, args=(there, bundle), daemon=True)
        self.process.start()
        there.close()
        self.facts: EngineFacts = self._pipe.recv()

    def start(self, deliver: Deliver, on_death: OnDeath) -> None:
        self._pipe.send(Start())
        if error := self._pipe.recv().error:
            raise error
        self._reader = threading.Thread(target=self._read, args=(deliver, on_death), daemon=True)
        self._reader.start()

    def submit(self, request: Request) -> None:
        self._pipe.send(Submit(request))

    def cancel(self, request_id: str) -> None:
        self._tell(Cancel(request_id))

    def stop(self) -> None:
        self._tell(Stop())
        self.process.join(30)
        assert self.process.exitcode is not None
        self._reader.join(10)
        self._pipe.close()

    def _tell(self, command: Cancel | Stop) -> None:
        try:
            self._pipe.send(command)
        except BrokenPipeError:  # it is dead, and its reader has said so
            return

    def _read(self, deliver: Deliver, on_death: OnDeath) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, ConnectionResetError):
                message = EngineDead("the process of the engine has ended")
            match message:
                case StepReport():
                    deliver(message)
                case Stopped():
                    return
                case BaseException():
                    on_death(message)
                    return


def _main(pipe: Connection, bundle: Path) -> None:
    """The child: carries out what it is told until it is told to stop."""
    client = ThreadEngineClient("child-0", helpers.load(bundle).engines[0])
    pipe.send(client.facts)
    sending = threading.Lock()

    def send(message: object) -> None:
        with sending:
            pipe.send(message)

    while True:
        match pipe.recv():
            case Start():
                client.start(send, send)
                send(Prepared())
            case Submit(request):
                client.submit(request)
            case Cancel(request_id):
                client.cancel(request_id)
            case Stop():
                client.stop()
                send(Stopped())
                return
