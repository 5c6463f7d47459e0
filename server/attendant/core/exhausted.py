"""Tells a machine that has nothing more to give from a fault of the server: the call that met it may come again."""

from __future__ import annotations

import errno

from attendant.core.errors import Overloaded

RETRY_S = 1.0
_SAID = {
    errno.EMFILE: "file descriptors",
    errno.ENFILE: "file descriptors",
    errno.ENOMEM: "memory",
    errno.ENOSPC: "room on its disk",
}


def of_exhaustion(error: BaseException) -> Overloaded | None:
    """The error that ends a call for which memory, threads, descriptors or disk did not reach; None for any other."""
    what = None
    if isinstance(error, MemoryError):
        what = "memory"
    elif isinstance(error, OSError) and error.errno is not None:
        what = _SAID.get(error.errno)
    elif isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        what = "threads"
    return None if what is None else Overloaded(f"the machine gives this server no more {what}", RETRY_S)
