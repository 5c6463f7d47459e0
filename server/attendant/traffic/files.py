"""A file of lines that stays within a size: when it is full, it becomes FILE.1, and what was FILE.1 becomes FILE.2."""

from __future__ import annotations

import os
from io import BufferedWriter
from pathlib import Path


class RotatingFile:
    """Lines are added at the end. Only the owner of the process can read what is written. For one thread.

    Args:
        max_bytes: of one file. max_files: that are kept, the one that grows included; the oldest is deleted.
    """

    def __init__(self, path: Path, max_bytes: int, max_files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._size = 0
        self._file: BufferedWriter | None = None

    def open(self) -> None:
        """Open the file, or make it. Raises OSError."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
        self._size = os.fstat(descriptor).st_size
        self._file = os.fdopen(descriptor, "ab")

    def fits(self, line: bytes) -> bool:
        """Whether one file has room for the line and its end."""
        return len(line) < self._max_bytes

    def add(self, line: bytes) -> None:
        """Add a line that fits, without its end. Raises OSError."""
        if self._file is None or (self._size and self._size + len(line) + 1 > self._max_bytes):
            self._next()
        assert self._file is not None, "it is open"
        self._file.write(line + b"\n")
        self._file.flush()
        self._size += len(line) + 1

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> None:
        """Go on in a new file."""
        if self._file is not None:
            self.close()
            for number in range(self._max_files - 1, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
            self._path.unlink(missing_ok=True)  # where only one is kept
        self.open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
