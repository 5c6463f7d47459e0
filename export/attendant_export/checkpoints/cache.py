"""Where what was fetched or made is kept: in folders that are whole or not there, made by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attendant_export.errors import CacheError, DiskFull


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/attendant``, or ``~/.cache/attendant``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "attendant"


def made(place: Path, make: Callable[[Path], object]) -> Path:
    """The folder ``place``; if it is not there, ``make`` makes it beside its place, and it is moved there when whole.

    Of several processes one makes it, and the others wait. What a killed process left is removed.

    Raises:
        DiskFull: no space left.
        CacheError: the cache cannot be written for another reason.
    """
    try:
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            with _locked(place):
                if not place.is_dir():
                    _make(place, make)
        place.touch()  # when it was used last
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(place) from error
        if error.filename is not None and str(error.filename).startswith(str(place.parent)):
            reason = error.strerror or error
            raise CacheError(f"{place.parent} cannot be written: {reason}; --cache names another place") from error
        raise
    return place


def forget_siblings(place: Path, unused_s: float) -> None:
    """Removes folders beside ``place`` that nobody used for so many seconds."""
    oldest = time.time() - unused_s
    for folder in place.parent.iterdir():
        if folder != place and folder.is_dir() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _make(place: Path, make: Callable[[Path], object]) -> None:
    prefix = f".{place.name}-"
    for leftover in place.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place.parent) as scratch:
        folder = Path(scratch) / place.name
        make(folder)
        folder.rename(place)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """One process at a time; the kernel frees the lock however its owner ends."""
    lock = os.open(place.with_name(f"{place.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that makes {place}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
