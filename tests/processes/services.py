"""Small services, as processes make and run them, and one that kills itself."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from attendant.core.errors import BundleError, InvalidRequest
from attendant.core.stacks import stack_of
from attendant.processes.messages import Made, Tell


class Echo:
    """Delivers what it is told; some words do something else. ``facts`` are its process's."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._thread: threading.Thread | None = None
        self.busy_since_ns = 0

    def start(self, deliver: Callable[[Any], None], on_death: Callable[[BaseException], None]) -> None:
        if self._number == 99:
            raise InvalidRequest("number", "is 99; allowed: less")
        self._deliver, self._on_death = deliver, on_death

    def where(self) -> str:
        return stack_of(self._thread)

    def tell(self, command: Any) -> None:
        match command:
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(7)
            case "die":
                self._on_death(RuntimeError("told to die"))
            case "log":
                logging.getLogger("attendant.tests").warning("a word of %s", "the process")
            case "hang":
                self.busy_since_ns = time.monotonic_ns()
                self._thread = threading.Thread(target=_hang, daemon=True)
                self._thread.start()
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case found:
                self._deliver((self._number, found))

    def stop(self) -> None:
        self._deliver((self._number, "stopped"))


def _hang() -> None:
    time.sleep(10_000)


def make(tell: Tell, *numbers: int) -> Made:
    """An echo of each number; the process says who it is."""
    tell(f"making {len(numbers)}")
    facts = os.getpid(), os.getpgid(0), os.getcwd()
    return Made(tuple(Echo(number) for number in numbers), facts)


def make_none(tell: Tell, what: str) -> Made:
    """Fails in one of several ways."""
    tell("trying")
    if what == "bundle":
        raise BundleError("/there/it.onnx", "is broken")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise KeyError(what)
