"""When Python's collector of cycles looks at what: at models, but not at the program that serves them.

What the program is made of is frozen before models are loaded: a hundred thousand objects, which the collector would
visit in the middle of a step, for about a tenth of a second. A model has some hundred to a few thousand, which take a
millisecond. They are never frozen, for a model that leaves is part of cycles (callbacks, caches of methods), and frozen
ones would stay for ever.
"""

from __future__ import annotations

import ctypes
import gc
import traceback
from contextlib import suppress


def freeze() -> None:
    """Collect, and let what is left be visited no more. To be called before models are loaded."""
    gc.collect()
    gc.freeze()


def collect() -> None:
    """Free what loading left, or a model that left: a millisecond, for which all threads of Python wait."""
    gc.collect()


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
