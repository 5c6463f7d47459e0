"""What files say, read again when they change; as long as they make no sense, what they said before stays in force."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from attendant.core.errors import ConfigurationError

logger = logging.getLogger("attendant.audit")

T = TypeVar("T")
_Seal = tuple[tuple[int, int, int] | None, ...]


class Kept(Generic[T]):
    """The value that some files have, which are read here first.

    Args:
        what: they are, in a few words for the log.
        read: gives the value; raises ConfigurationError.
        changed: told of each new value.

    Raises:
        ConfigurationError: they make no sense.
    """

    def __init__(
        self, what: str, paths: Sequence[Path], read: Callable[[], T], changed: Callable[[T], None] | None = None
    ) -> None:
        self._what = what
        self._paths = paths
        self._read = read
        self._changed = changed or (lambda value: None)
        self._seal = self._look()
        self.value = read()
        self._changed(self.value)

    def follow(self, *, asked: bool = False) -> bool:
        """Read the files if they have changed, or if ``asked`` to. What is wrong with them stands in the log. Returns
        whether there is a new value."""
        seal = self._look()
        if seal == self._seal and not asked:
            return False
        self._seal = seal
        try:
            value = self._read()
        except ConfigurationError as error:
            logger.error("%s: not taken over, what was read before stays in force: %s", self._what, error)
            return False
        self.value = value
        self._changed(value)
        logger.info("%s: read again from %s", self._what, ", ".join(map(str, self._paths)))
        return True

    def _look(self) -> _Seal:
        return tuple(map(_seal_of, self._paths))


def _seal_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
