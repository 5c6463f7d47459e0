"""Calls that can be ended by their id, of one port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attendant.core.context import Abort


class Aborts:
    """The calls that run or wait now, by who made them and the id that they were given, which several may have."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], list[Abort]] = {}

    @contextmanager
    def listed(self, request_id: str, subject: str = "") -> Iterator[Abort | None]:
        """Around one call of ``subject``: what ends it. None if it has no id."""
        if not request_id:
            yield None
            return
        abort = Abort()
        key = subject, request_id
        self._calls.setdefault(key, []).append(abort)
        try:
            yield abort
        finally:
            calls = self._calls[key]
            calls.remove(abort)
            if not calls:
                del self._calls[key]

    def end(self, request_ids: Iterable[str], subject: str = "") -> None:
        """End all calls of ``subject`` with these ids; ids that nobody has are passed over."""
        for request_id in request_ids:
            for abort in self._calls.get((subject, request_id), ()):
                abort.ask()
