"""What the exporter tells while it works: one line per stage, which moves at least every two seconds."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

Step = Callable[[str], None]
"""Takes what a stage is at, in a few words."""

Progress = Callable[[str], AbstractContextManager[Step]]
"""``with progress("trace") as step:`` tells a stage by name; ``step("layer 3 of 30")`` what it is at, for those that
know."""

_TERMINAL_S = 0.25  # between two looks of a line on a terminal
_LINES_S = 1.5  # between two lines elsewhere


def no_step(what: str) -> None:
    """Tells nothing."""


@contextmanager
def silent(stage: str) -> Iterator[Step]:
    """Tells nothing."""
    yield no_step


def on_stderr(stage: str) -> AbstractContextManager[Step]:
    """Tells a stage and the seconds it takes on the standard error stream."""
    return told(stage, sys.stderr)


@contextmanager
def told(stage: str, stream: TextIO, every_s: float | None = None) -> Iterator[Step]:
    """Tells a stage on ``stream``: on a terminal in one line that is written over, elsewhere in a line now and then.

    A thread of its own does so, whatever the stage is busy with. The last line says how long the stage took, or that
    it failed.

    Args:
        every_s: seconds between two messages; by default what suits the stream.
    """
    line = _TerminalLine(stage, stream) if stream.isatty() else _Lines(stage, stream)
    over = threading.Event()

    def tick() -> None:
        while not over.wait(every_s or line.every_s):
            line.tell()

    ticker = threading.Thread(target=tick, name=f"progress of {stage}", daemon=True)
    ticker.start()
    try:
        yield line.step
    except BaseException:
        _join(ticker, over)
        line.end("failed")
        raise
    _join(ticker, over)
    line.end(None)


def _join(ticker: threading.Thread, over: threading.Event) -> None:
    over.set()
    ticker.join()


class _Lines:
    """A stage on a pipe or in a file."""

    every_s = _LINES_S

    def __init__(self, stage: str, stream: TextIO) -> None:
        self.stage = stage
        self.stream = stream
        self.at = ""
        self.start = time.perf_counter()

    def step(self, what: str) -> None:
        """What the stage is at from now on, for the next message."""
        self.at = what

    def tell(self) -> None:
        """A message from the middle of the stage."""
        self.write(f"{self.so_far()} ...{self.what()}\n")

    def end(self, outcome: str | None) -> None:
        """The last message: ``outcome``, or the seconds it took."""
        self.write(f"{self.stage:<10}{outcome}\n" if outcome else f"{self.so_far()}\n")

    def so_far(self) -> str:
        """The stage and its seconds."""
        return f"{self.stage:<10}{time.perf_counter() - self.start:8.1f} s"

    def what(self) -> str:
        """What the stage is at, after a space; empty where nobody said."""
        at = self.at
        return f" {at}" if at else ""

    def write(self, text: str) -> None:
        """Hands ``text`` over at once."""
        self.stream.write(text)
        self.stream.flush()


class _TerminalLine(_Lines):
    """A stage on a terminal, in one line that is written over."""

    every_s = _TERMINAL_S
    _BACK, _CLEAR = "\r", "\x1b[K"

    def __init__(self, stage: str, stream: TextIO) -> None:
        super().__init__(stage, stream)
        self.write(f"{stage:<10}")

    def tell(self) -> None:
        """See :meth:`_Lines.tell`; no longer than the terminal is wide, or the way back would be lost."""
        width = shutil.get_terminal_size().columns - 1
        self.write(self._BACK + f"{self.so_far()} {self.what()}"[:width] + self._CLEAR)

    def end(self, outcome: str | None) -> None:
        """See :meth:`_Lines.end`."""
        self.stream.write(self._BACK + self._CLEAR)
        super().end(outcome)
