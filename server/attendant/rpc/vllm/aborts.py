"""Calls that can be ended by their id, of one port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attendant.core.context import Abort


class Aborts:
    """The calls that run or wait now, by the id that their callers gave them, which several may have."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Abort]] = {}

    @contextmanager
    def listed(self, request_id: str) -> Iterator[Abort | None]:
        """Around one call: what ends it. None if it has no id."""
        if not request_id:
            yield None
            return
        abort = Abort()
        self._calls.setdefault(request_id, []).append(abort)
        try:
            yield abort
        finally:
            calls = self._calls[request_id]
            calls.remove(abort)
            if not calls:
                del self._calls[request_id]

    def end(self, request_ids: Iterable[str]) -> None:
        """End all calls of these ids; those that nobody has are passed over."""
        for request_id in request_ids:
            for abort in self._calls.get(request_id, ()):
                abort.ask()
