"""``attendant serve`` whose engine dies at its next step after SIGUSR1. For tests of what then happens."""

from __future__ import annotations

import signal
import sys
from typing import Any

from attendant.cli import main
from attendant.engine.scheduler import Scheduler


def arm(*_: object) -> None:
    def schedule(self: Scheduler, *_: object) -> Any:
        raise RuntimeError("told to die")

    Scheduler.schedule = schedule  # type: ignore[assignment, method-assign]


signal.signal(signal.SIGUSR1, arm)
sys.exit(main(["serve", *sys.argv[1:]]))
