"""``attendant serve`` with a batch thread that dies at its next batch after SIGUSR1. For tests of what then happens."""

from __future__ import annotations

import signal
import sys
import threading

from attendant.batching.thread import BatchThread
from attendant.cli import main

armed = threading.Event()
turn = BatchThread._turn


def dying_turn(self: BatchThread) -> None:
    if armed.is_set():
        armed.clear()
        raise RuntimeError("told to die")
    turn(self)


BatchThread._turn = dying_turn  # type: ignore[method-assign]
signal.signal(signal.SIGUSR1, lambda *_: armed.set())
sys.exit(main(["serve", *sys.argv[1:]]))
