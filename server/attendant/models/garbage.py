"""When Python's collector of cycles looks at what: at models, but not at the program that serves them.

What the program is made of is frozen before models are loaded: a hundred thousand objects, which the collector would
visit in the middle of a step, for about a tenth of a second. A model has some hundred to a few thousand, which take a
millisecond. They are never frozen, for a model that leaves is part of cycles (callbacks, caches of methods), and frozen
ones would stay for ever.

And what the heap of the C library (glibc) does: large pieces are mapped by themselves while a model is loaded, and what
it keeps is given back when a model left.
"""

from __future__ import annotations

import ctypes
import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
_LARGE_WHILE_LOADING = 1 << 20
_LARGE = 32 << 20
"""Bytes. The second is what glibc's own rule ends at, which it goes up to as large pieces are freed; saying any turns
that rule off."""


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


@contextmanager
def large_pieces_apart() -> Iterator[None]:
    """Around what loads a model: the C library (glibc) maps each large piece by itself, so that the machine has it back
    when the model leaves. Else small pieces that stay come to lie between large ones, and megabytes of the room of
    those cannot be given back. What models that run take meanwhile is mapped so as well."""
    _say(_M_TRIM_THRESHOLD, 2 * _LARGE)  # as the rule that is off has it
    _say(_M_MMAP_THRESHOLD, _LARGE_WHILE_LOADING)
    try:
        yield
    finally:
        _say(_M_MMAP_THRESHOLD, _LARGE)


def _say(parameter: int, value: int) -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(parameter, value)


def forget_frames(error: BaseException) -> None:
    """Let an error that is kept, and those behind it, keep nothing alive that the functions had which it ended."""
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        traceback.clear_frames(behind.__traceback__)
        behind = behind.__cause__ or behind.__context__
