"""``attendant serve`` whose batch threads die at their next batch after SIGUSR1. For tests of what then happens."""

from __future__ import annotations

import signal
import sys

from attendant.batching.thread import BatchThread
from attendant.cli import main


def arm(*_: object) -> None:
    def turn(self: BatchThread) -> None:
        raise RuntimeError("told to die")

    BatchThread._turn = turn  # type: ignore[method-assign]


signal.signal(signal.SIGUSR1, arm)
sys.exit(main(["serve", *sys.argv[1:]]))
