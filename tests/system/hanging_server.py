"""``attendant serve`` whose next step after SIGUSR1 hangs until SIGUSR2. For tests of what then happens."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from attendant.cli import main
from attendant.engine.scheduler import Scheduler

armed, released = threading.Event(), threading.Event()
schedule = Scheduler.schedule


def hanging_schedule(self: Scheduler, *arguments: Any) -> Any:
    if armed.is_set():
        armed.clear()
        released.wait()
    return schedule(self, *arguments)


Scheduler.schedule = hanging_schedule  # type: ignore[assignment, method-assign]
signal.signal(signal.SIGUSR1, lambda *_: armed.set())
signal.signal(signal.SIGUSR2, lambda *_: released.set())
sys.exit(main(["serve", *sys.argv[1:]]))
