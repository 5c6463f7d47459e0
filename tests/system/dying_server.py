"""``attendant serve`` with an engine that dies at its next step after SIGUSR1; from SIGUSR2 on each one does. For tests
of what then happens."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from attendant.cli import main
from attendant.engine.scheduler import Scheduler

once, always = threading.Event(), threading.Event()
schedule = Scheduler.schedule


def dying_schedule(self: Scheduler, *arguments: Any) -> Any:
    if once.is_set() or always.is_set():
        once.clear()
        raise RuntimeError("told to die")
    return schedule(self, *arguments)


Scheduler.schedule = dying_schedule  # type: ignore[assignment, method-assign]
signal.signal(signal.SIGUSR1, lambda *_: once.set())
signal.signal(signal.SIGUSR2, lambda *_: always.set())
sys.exit(main(["serve", *sys.argv[1:]]))
