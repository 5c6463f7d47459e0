"""What callers hear as long as models are being loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attendant.core.errors import Unavailable

T = TypeVar("T")


def loaded(find: Callable[[], T | None]) -> Callable[[], T]:
    """What ``find`` gives, asked each time; raises Unavailable as long as that is None."""

    def found() -> T:
        there = find()
        if there is None:
            raise Unavailable("the server is still loading its models")
        return there

    return found
