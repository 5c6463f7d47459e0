"""``attendant serve FOLDER ...`` on a machine that fails as files in FOLDER say: ``threads``: no thread starts;
``clock``: the wall clock is so many seconds from the right time. For tests of what then happens."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from attendant.cli import main

FOLDER = Path(sys.argv[1])
_start, _time = threading.Thread.start, time.time


def start(self: threading.Thread) -> None:
    """As a system that has no more threads."""
    if (FOLDER / "threads").exists():
        raise RuntimeError("can't start new thread")
    _start(self)


def wall_clock() -> float:
    """What the clock on the wall says."""
    try:
        return _time() + float((FOLDER / "clock").read_text())
    except OSError:
        return _time()


threading.Thread.start = start  # type: ignore[method-assign]
time.time = wall_clock
sys.exit(main(["serve", *sys.argv[2:]]))
