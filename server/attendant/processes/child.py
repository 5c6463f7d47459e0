"""A process of its own, as the server sees it: begun, told, heard, and noticed when it ends, however it ends."""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from attendant.core.errors import EngineDead
from attendant.processes.link import Link, packed
from attendant.processes.messages import (
    Ask,
    Begin,
    Command,
    Delivered,
    Died,
    Failed,
    LogLine,
    Make,
    Order,
    Progress,
    Ready,
    Start,
    Started,
    Stop,
    Stopped,
    Tell,
    Told,
)

logger = logging.getLogger(__name__)

_PROGRAM = "attendant.processes.main"
_TO_EXIT_S = 10.0
"""Seconds that a process may take to end once it has closed its link; then it is killed."""
_TO_STOP_S = 60.0
"""Seconds that a service may take to stop, a step included; then its process is killed."""

Deliver = Callable[[Any], None]
OnDeath = Callable[[BaseException], None]


@dataclass(slots=True)
class _Running:
    """A service as it is known here.

    Attributes:
        stops: it was told to.
        told: what it said last of what it is at. asked_ns: since when it is to say so again, monotonic; 0: it has.
    """

    deliver: Deliver
    on_death: OnDeath
    started: Future[None] = field(default_factory=Future)
    stopped: threading.Event = field(default_factory=threading.Event)
    stops: bool = False
    told: Told = field(default_factory=lambda: Told(0, 0, ""))
    asked_ns: int = 0


class Child:
    """A process, which is there once this has been made.

    The thread that hears it has begun it, and stays as long as it: Linux kills the process when that thread ends, so
    that none outlives the server. Signals to the server's group do not reach it. It stays in the server's session:
    Linux shares the processors out among sessions (autogroup), and one of its own would wait for others' turns.

    Args:
        name: of what it runs, for threads, the log and errors.

    Attributes:
        pid: its number, as the system has it.
    """

    def __init__(self, name: str) -> None:
        here, self._there = socket.socketpair()
        self.name = name
        self._link = Link(here)
        self._process: Future[subprocess.Popen[bytes]] = Future()
        self._making: queue.SimpleQueue[Progress | Ready | Failed] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[list[memoryview] | None] = queue.SimpleQueue()
        self._services: dict[int, _Running] = {}
        self._lock = threading.Lock()  # held for microseconds: the services, and whether it has ended
        self._ended: EngineDead | None = None
        self._gone = threading.Event()
        threading.Thread(target=self._hear_all, name=f"process-{name}", daemon=True).start()
        self.pid = self._process.result().pid
        threading.Thread(target=self._send_all, name=f"to-process-{name}", daemon=True).start()
        loggers = ("", "attendant")
        levels = tuple((logged, logging.getLogger(logged).level) for logged in loggers)
        self._say(Begin(tuple(sys.path), sys.getswitchinterval(), levels))

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self._gone.is_set()

    def make(self, tell: Tell, make: Make, *arguments: Any) -> Any:
        """Have it make what it is to run, and wait for that; the facts of it. To be called once.

        Args:
            tell: takes a line for each stage, on this thread; what it raises ends the process.

        Raises:
            AttendantError: what kept it from that. EngineDead: the process ended over it.
        """
        try:
            self._say(Order(make, arguments))
            while True:
                match self._making.get():
                    case Progress(line):
                        tell(line)
                    case Failed(error):
                        raise error
                    case Ready(facts):
                        return facts
        except BaseException:
            self.kill()
            raise

    def start(self, service: int, deliver: Deliver, on_death: OnDeath) -> None:
        """Start a service, by number, and wait for that. To be called once for each.

        Args:
            deliver: takes what it delivers, in order, on a thread of this object's.
            on_death: takes what ended the service, or the process, on such a thread; nothing is delivered after it.

        Raises:
            AttendantError: what kept it from starting; EngineDead: the process has ended.
        """
        running = _Running(deliver, on_death)
        with self._lock:
            if self._ended is not None:
                raise self._ended
            self._services[service] = running
        self._say(Start(service))
        running.started.result()

    def tell(self, service: int, command: Any) -> None:
        """Hand a command to a service. A process that is dead does not hear it, and that has been told."""
        self._say(Command(service, command))

    def busy_since_ns(self, service: int) -> int:
        """When what a service is at began, monotonic, as it said after the last time that somebody asked here, or when
        it was asked and has not said since; 0: it is at nothing. Does not block."""
        running = self._services.get(service)
        if running is None or not self.alive:
            return 0
        if not running.asked_ns:
            running.asked_ns = time.monotonic_ns()
            self._say(Ask(service))
            return running.told.busy_since_ns
        return running.told.busy_since_ns or running.asked_ns

    def where(self, service: int) -> str:
        """Where a service stood in what it is at when it said so last; empty if it did not."""
        running = self._services.get(service)
        return running.told.where if running is not None else ""

    def stop(self, service: int) -> None:
        """Stop a service after what it does just now, whose report is delivered. The process ends with the last one.
        One that does not stop is killed. Blocks."""
        with self._lock:
            if self._ended is not None:
                return
            running = self._services.setdefault(service, _Running(_nobody_hears, _nobody_hears))
            running.stops = True
        self._say(Stop(service))
        if not running.stopped.wait(_TO_STOP_S):
            logger.error("the process %d of %s does not stop; it is killed", self.pid, self.name)
            self.kill()
            running.stopped.wait()

    def kill(self) -> None:
        """End the process at once, whatever it does; what ran in it hears of its death."""
        self._process.result().kill()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended and is reaped; whether it has."""
        return self._gone.wait(timeout_s)

    def _say(self, message: object) -> None:
        self._outbox.put(packed(message))

    # -- on threads of this object's

    def _send_all(self) -> None:
        while (parts := self._outbox.get()) is not None:
            try:
                self._link.send_packed(parts)
            except OSError:  # the process is gone, and whoever hears it says so
                return

    def _hear_all(self) -> None:
        try:
            process = self._begin()
        except BaseException as error:  # noqa: BLE001 - supervision point: it is raised where the process was made
            self._link.close()
            self._process.set_exception(error)
            return
        finally:
            self._there.close()
        self._process.set_result(process)
        try:
            while True:
                self._hear(self._link.receive())
        except EOFError:
            pass
        except Exception:
            logger.exception("what the process %d of %s says cannot be read; it is killed", process.pid, self.name)
            process.kill()
        self._end(_how_it_ended(process))

    def _begin(self) -> subprocess.Popen[bytes]:
        descriptor = self._there.fileno()
        words = (sys.executable, "-P", "-m", _PROGRAM, str(descriptor), str(os.getpid()))
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2, pass_fds=(descriptor,), process_group=0)

    def _hear(self, message: object) -> None:
        match message:
            case Delivered(index, report):
                self._services[index].deliver(report)
            case LogLine(record):
                self._log(record)
            case Started(index):
                self._services[index].started.set_result(None)
            case Failed(error, int(index)):
                self._services[index].stops = True  # it never began
                self._services[index].started.set_exception(error)
            case Progress() | Ready() | Failed():
                self._making.put(message)
            case Died(index, error):
                if not self._services[index].stops:
                    self._services[index].on_death(error)
                    self._services[index].stops = True
            case Told(index):
                self._services[index].told = message
                self._services[index].asked_ns = 0
            case Stopped(index):
                self._services[index].stopped.set()

    def _log(self, record: dict[str, Any]) -> None:
        """Write a line of the process's log, and say whose it is."""
        line = logging.makeLogRecord({**record, "msg": f"[{self.name}] {record['msg']}"})
        log = logging.getLogger(line.name)
        if log.isEnabledFor(line.levelno):
            log.handle(line)

    def _end(self, how: str) -> None:
        """The process is gone: whoever waits for anything hears so, once."""
        ended = EngineDead(f"the process of {self.name} {how}")
        with self._lock:
            self._ended = ended
            self._gone.set()
            services = tuple(self._services.values())
        self._outbox.put(None)
        self._link.close()
        self._making.put(Failed(ended))
        for running in services:
            if not running.started.done():
                running.started.set_exception(ended)
            elif not running.stops:
                running.on_death(ended)
            running.stopped.set()


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(_TO_EXIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}"


def _nobody_hears(_: object) -> None:
    """Of a service that never started."""
