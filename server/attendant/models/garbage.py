"""When Python's collector of cycles looks at what: not at models that are served, but at those that leave.

What is loaded is frozen, so that the collector never visits its hundreds of thousands of objects in the middle of a
step. A model that leaves is part of cycles (callbacks, caches of methods); frozen, they would stay for ever. So all is
thawed around an unloading, collected once, and frozen again. Freezing before models are loaded would leave no frozen
model to keep alive, but every collection would then visit the models that are served.
"""

from __future__ import annotations

import ctypes
import gc
import traceback
from contextlib import suppress


def freeze() -> None:
    """Collect, and let what is left be visited no more."""
    gc.collect()
    gc.freeze()


def settle() -> None:
    """Free what loading left, and let a model that came be visited no more if the others are not. Cheap: what is frozen
    is not looked at."""
    frozen = gc.get_freeze_count() > 0
    gc.collect()
    if frozen:
        gc.freeze()


def collect() -> None:
    """Free what left, frozen or not; what stays is frozen again if it was. All threads of Python wait for it: about a
    tenth of a second for a million objects."""
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()


def give_back() -> None:
    """Return to the machine what the C library keeps for later, where it is one that can (glibc). It keeps freed pieces
    between those that stay, so that a server whose models come and go would grow by some megabytes. Milliseconds, and
    any thread may do it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def forget_frames(error: BaseException) -> None:
    """Let an error that is kept, and those behind it, keep nothing alive that the functions had which it ended."""
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        traceback.clear_frames(behind.__traceback__)
        behind = behind.__cause__ or behind.__context__
