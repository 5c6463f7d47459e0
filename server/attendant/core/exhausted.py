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


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust (of tokens, of grammars) panicked. That is no ``Exception``, so that what only catches
    those, gRPC for one, would leave its call without an end."""
    return type(error).__name__ == "PanicException"


def of_exhaustion(error: BaseException) -> Overloaded | None:
    """The error that ends a call for which memory, threads, descriptors or disk did not reach; None for any other."""
    what = None
    if isinstance(error, MemoryError):
        what = "memory"
    elif isinstance(error, OSError) and error.errno is not None:
        what = _SAID.get(error.errno)
    elif _lacks_threads(error):
        what = "threads"
    return None if what is None else Overloaded(f"the machine gives this server no more {what}", RETRY_S)


def _lacks_threads(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return "can't start new thread" in str(error)
    return is_panic(error) and "ThreadPoolBuildError" in str(error)
