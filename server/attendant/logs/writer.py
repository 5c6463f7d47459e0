"""Writes lines in a thread of its own: no call waits for whoever reads the log, or for a disk."""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import select
import threading
import time

from attendant.logs.lines import prepare

MOST_WAITING = 10_000
"""Lines that wait to be written; further ones are dropped."""
GATHER_S = 0.02
"""Seconds between two writes. Lines that come meanwhile leave together: waking a thread for each of them would cost the
event loop more than the lines themselves."""
FLUSH_S = 5.0
"""Seconds that the end of a process waits for what is still to be written."""
MOST_AT_ONCE = 1000


class LogHandler(logging.handlers.QueueHandler):
    """Takes records anywhere, and has a thread write them to ``descriptor``. Nothing that goes wrong there is raised
    here; what was dropped or could not be written is counted, and said by a line as soon as that can be.

    Args:
        lines: makes lines of records.
        descriptor: a file, a pipe or a terminal.
        most_waiting: lines that wait.
    """

    def __init__(self, lines: logging.Formatter, descriptor: int, most_waiting: int = MOST_WAITING) -> None:
        self._waiting: queue.SimpleQueue[logging.LogRecord | threading.Event | None] = queue.SimpleQueue()
        super().__init__(self._waiting)
        self._most_waiting = most_waiting
        self._lines = lines
        self._descriptor = descriptor
        self._num_dropped = 0
        self._num_lost = 0
        self._num_told = 0
        self._torn = self._stuck = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    @property
    def num_dropped(self) -> int:
        """Lines that were not written."""
        return self._num_dropped + self._num_lost

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """See :class:`logging.handlers.QueueHandler`."""
        prepare(record)
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """See :class:`logging.handlers.QueueHandler`."""
        if self._waiting.qsize() < self._most_waiting:
            self._waiting.put(record)
        else:
            self._num_dropped += 1

    def flush(self) -> None:
        """Wait until what has come is written, for at most :data:`FLUSH_S`. At its end a process does it by itself."""
        written = threading.Event()
        self._waiting.put(written)
        self._stuck = not written.wait(FLUSH_S)

    def close(self) -> None:
        """Write what has come, as :meth:`flush` does, and nothing any more. If that has just waited in vain, this does
        not."""
        self._waiting.put(None)
        self._thread.join(0 if self._stuck else FLUSH_S)
        super().close()

    # -- in the thread

    def _write_all(self) -> None:
        found: list[logging.LogRecord | threading.Event | None] = []
        while None not in found:
            found = [self._waiting.get()]
            while len(found) < MOST_AT_ONCE and not self._waiting.empty():
                found.append(self._waiting.get())
            records = [each for each in found if isinstance(each, logging.LogRecord)]
            self._write([self._line(record) for record in records])
            for each in found:
                if isinstance(each, threading.Event):
                    each.set()
            time.sleep(GATHER_S)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self._lines.format(record)
        except Exception as error:  # noqa: BLE001 - supervision point: a line that cannot be made is no end of the log
            told = f"a line of {record.name} cannot be written: {type(error).__name__}"
            return self._lines.format(logging.LogRecord(__name__, logging.ERROR, "", 0, told, None, None))

    def _write(self, lines: list[str]) -> None:
        num_dropped = self.num_dropped
        if num_dropped > self._num_told:
            told = f"dropped lines of the log: {num_dropped - self._num_told}; what reads it is too slow, or fails"
            lines.append(self._lines.format(logging.LogRecord(__name__, logging.WARNING, "", 0, told, None, None)))
        data = "".join([f"{line}\n" for line in lines]).encode(errors="backslashreplace")
        try:
            self._write_bytes(data)
        except OSError:  # nobody reads, or the disk is full
            self._num_lost += len(lines) - (num_dropped > self._num_told)
            return
        self._num_told = num_dropped

    def _write_bytes(self, data: bytes) -> None:
        if self._torn:  # the end of a line is missing before
            data = b"\n" + data
        view = memoryview(data)
        while view:
            try:
                num_bytes = os.write(self._descriptor, view)
            except BlockingIOError:
                select.select((), (self._descriptor,), ())
                continue
            view = view[num_bytes:]
            self._torn = bool(view)
