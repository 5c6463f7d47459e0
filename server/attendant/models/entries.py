"""The versions of all models in the table: which of a name is current, how what takes their calls begins and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic

from attendant.core.errors import Draining
from attendant.core.repository import split_name
from attendant.models.entry import Entry, S
from attendant.models.failed import FailedModel
from attendant.models.loaded import LoadedModel


class Entries(Generic[S]):
    """Versions of models. Of those of a name one is current. It belongs to one event loop.

    Args:
        serve: makes what takes a model's calls, on the loop.
    """

    def __init__(self, serve: Callable[[LoadedModel], S]) -> None:
        self._serve = serve
        self._all: list[Entry[S]] = []
        self._closed: dict[Entry[S], asyncio.Future[None]] = {}
        self._closing = False

    def __iter__(self) -> Iterator[Entry[S]]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def of(self, name: str) -> tuple[Entry[S], ...]:
        """Every version of a model; with ``name@version`` that one alone."""
        plain, version = split_name(name)
        return tuple([e for e in self._all if e.name == plain and (not version or e.version == version)])

    def add(self, entry: Entry[S]) -> None:
        """Have one more."""
        self._all.append(entry)
        self.elect(entry.name)

    def remove(self, entry: Entry[S]) -> None:
        """Have it no more."""
        self._all.remove(entry)
        self._closed.pop(entry, None)
        self.elect(entry.name)

    def fail(self, failed: FailedModel) -> Entry[S]:
        """Have a model that cannot be served, last of all."""
        entry = Entry[S](failed.name, failed.manifest, failed.capabilities, failed.version, failed.name, failed=failed)
        self.add(entry)
        return entry

    def elect(self, name: str) -> None:
        """Have the version current that calls go to which name none."""
        versions = self.of(name)
        best = max(versions, key=lambda entry: entry.rank, default=None)
        for entry in versions:
            entry.current = entry is best

    async def start(self, entry: Entry[S], model: LoadedModel) -> None:
        """Have an entry take calls, unless this is the end. Raises what keeps it from being run, or Draining."""
        serving = self._serve(model)
        try:
            await serving.start()
            self.check_open()
        except BaseException:
            await serving.close()
            raise
        entry.capabilities, entry.serving = model.capabilities, serving

    async def close(self, entry: Entry[S]) -> None:
        """Stop what takes its calls: once, whoever asks for it, and how often."""
        if entry.serving is None:
            return
        if entry not in self._closed:
            self._closed[entry] = asyncio.ensure_future(entry.serving.close())
        await asyncio.shield(self._closed[entry])

    def let_go(self, entry: Entry[S]) -> None:
        """Forget what took its calls, which is closed."""
        self._closed.pop(entry, None)
        entry.serving = None

    async def close_all(self) -> None:
        """Stop all of them."""
        await asyncio.gather(*(self.close(entry) for entry in self._all))

    @property
    def closing(self) -> bool:
        """Whether this is the end."""
        return self._closing

    def end(self) -> None:
        """Let nothing start from now on."""
        self._closing = True

    def check_open(self) -> None:
        """Raises Draining if this is the end."""
        if self._closing:
            raise Draining("the server is shutting down and loads no models")
