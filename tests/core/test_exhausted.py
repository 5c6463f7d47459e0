"""Which exceptions say that the machine has no more, and of what."""

from __future__ import annotations

import errno
import os

import pytest
from attendant.core.errors import Overloaded
from attendant.core.exhausted import of_exhaustion


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (system_error(errno.ENOMEM), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (system_error(errno.EMFILE), "file descriptors"),
        (system_error(errno.ENOSPC), "room on its disk"),
    ],
)
def test_what_the_machine_has_no_more_of_is_told(error: Exception, what: str) -> None:
    found = of_exhaustion(error)
    assert isinstance(found, Overloaded)
    assert f"the machine gives this server no more {what}; retry in" in str(found)


@pytest.mark.parametrize("error", [ValueError("a"), RuntimeError("a"), system_error(errno.ENOENT), OSError("a")])
def test_other_exceptions_are_other_faults(error: Exception) -> None:
    assert of_exhaustion(error) is None
