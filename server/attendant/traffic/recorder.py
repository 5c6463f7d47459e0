"""Keeps a share of a server's calls in a file. A thread of its own writes: no call waits for it, or fails by it."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from attendant.traffic.calls import KeptCall
from attendant.traffic.files import RotatingFile

logger = logging.getLogger(__name__)

RecordOutcome = Literal["written", "dropped", "too_large", "failed"]
"""Of a call that was to be kept: there was no room in memory, or in one file, or the file could not be written."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Calls that wait to be written, together, as they are on the wire."""

CLOSE_S = 5.0
"""Seconds that what waits has at the end."""


class Recorder:
    """Takes calls that were answered. Made once; every method may be called from the event loop.

    Args:
        file: that nobody else writes.
        share: of the calls that are kept, 0 to 1.
        count: told what became of each, from any thread.
    """

    def __init__(self, file: RotatingFile, share: float, count: Callable[[RecordOutcome], None]) -> None:
        self._file = file
        self._share = share
        self._count = count
        self._waiting: queue.SimpleQueue[tuple[Any, Sequence[Any], int] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Open the file. Raises OSError: it cannot be written."""
        self._file.open()
        self._thread.start()

    def wants(self) -> bool:
        """Whether the next call is to be kept."""
        return self._share >= 1 or random.random() < self._share

    def keep(self, request: Any, responses: Sequence[Any]) -> None:
        """Take a call; it belongs to the recorder from now on."""
        size = request.ByteSize() + sum(response.ByteSize() for response in responses)
        with self._lock:
            if self._waiting_bytes + size > MAX_WAITING_BYTES:
                size = -1
            else:
                self._waiting_bytes += size
        if size < 0:
            self._count("dropped")
        else:
            self._waiting.put((request, responses, size))

    def too_large(self) -> None:
        """A call that was to be kept has more than may wait."""
        self._count("too_large")

    def close(self) -> None:
        """Write what waits, as far as there is time for it."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (call := self._waiting.get()) is not None:
            request, responses, size = call
            self._count(self._write(KeptCall.of(request, responses).line().encode()))
            with self._lock:
                self._waiting_bytes -= size
        self._file.close()

    def _write(self, line: bytes) -> RecordOutcome:
        if not self._file.fits(line):
            return "too_large"
        try:
            self._file.add(line)
        except OSError as error:
            if not self._is_failing:
                logger.warning("calls cannot be recorded: %s", error)
            self._is_failing = True
            return "failed"
        self._is_failing = False
        return "written"
