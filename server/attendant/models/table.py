"""The models of a server: which there are, in which state each is, and how they come and go. Asked at each call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from attendant.bundle import Manifest, read_any_manifest
from attendant.core.caller import current_caller
from attendant.core.errors import BundleError
from attendant.core.repository import split_name
from attendant.models import garbage
from attendant.models.entries import Entries
from attendant.models.entry import Entry, S
from attendant.models.failed import FailedModel
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.models.loading_thread import LoadingThread
from attendant.models.lookup import Wanted, find, not_found

logger = logging.getLogger(__name__)


F = TypeVar("F", covariant=True)


class Finder(Protocol[F]):
    """A table of models, as those see it who ask for what takes a call."""

    def find(self, name: str, wanted: Wanted) -> F:
        """See :meth:`ModelTable.find`."""


class ModelTable(Generic[S]):
    """The models of a server, by name and version. It belongs to one event loop.

    Models come and go one at a time, while the others serve. Of several versions of a model one is current: calls go to
    it that name none. When a newer one is ready, it is current from then on, and who was let in before goes on where it
    is.

    Args:
        serve: makes what takes a model's calls, on the loop.
        loader: of models that come later; None: none do.
        on_change: told whenever a model came, went or failed, after the start.
    """

    def __init__(
        self,
        serve: Callable[[LoadedModel], S],
        loader: ModelLoader | None = None,
        on_change: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._loader = loader
        self._on_change = on_change
        self._entries = Entries(serve)
        self._changing = asyncio.Lock()
        self._thread = LoadingThread()

    @property
    def entries(self) -> tuple[Entry[S], ...]:
        """Every version of every model, whatever its state."""
        return tuple(self._entries)

    def of(self, name: str) -> tuple[Entry[S], ...]:
        """Every version of a model; with ``name@version`` that one alone."""
        return self._entries.of(name)

    def find(self, name: str, wanted: Wanted) -> S:
        """What takes a call; see :func:`attendant.models.lookup.find`. What its caller may not use is not there for it,
        but for what is named: whether that may be used was asked before.

        Raises:
            ModelNotFound, ModelFailed, InvalidRequest. Unavailable: the model is being loaded. Draining: it leaves.
        """
        caller, entries = current_caller(), iter(self._entries)
        if caller.models is not None:
            named = split_name(name)[0]
            entries = (entry for entry in entries if entry.name == named or caller.may_use(entry.full_name))
        serving = find(entries, name, wanted).serving
        assert serving is not None, "it refuses"
        return serving

    async def start(self, bundles: LoadedBundles, *, strict: bool = False) -> None:
        """Serve what was loaded. A model that cannot be prepared is given up; the others are served.

        Raises:
            AttendantError: what kept the first from being prepared, if ``strict`` or if none is left; all are closed.
        """
        loaded = [(Entry[S].of(model, path=bundles.paths.get(model.name)), model) for model in bundles.models]
        for entry, _ in loaded:
            self._entries.add(entry)
        for failed in bundles.failed:
            self._entries.fail(failed)
        try:
            for entry, model in loaded:
                try:
                    await self._entries.start(entry, model)
                except Exception as error:  # noqa: BLE001
                    # supervision point: a model's fault, of whatever kind, is its own
                    self._give_up(entry, error, strict=strict)
            given_up = [entry.failed for entry in self._entries if entry.failed is not None]
            if given_up and len(given_up) == len(self._entries):
                raise given_up[0].error
        except BaseException:
            await self.close()
            raise

    def adopt(self, model: LoadedModel, serving: S) -> None:
        """Have a model that is served already: ``serving`` was started."""
        self._entries.add(Entry.of(model, serving))

    async def load(self, path: Path) -> str:
        """Load a bundle while others serve; its name. A caller that goes away does not end it.

        Raises:
            AttendantError: it cannot be loaded, or this version is served. The table has it as failed then.
        """
        manifest = await asyncio.to_thread(read_any_manifest, path)
        await self.bring(path, manifest, manifest.name, replaces=False)
        return manifest.name

    async def bring(self, path: Path, manifest: Manifest, holder: str, *, replaces: bool = True) -> None:
        """Load a version of a model while others serve, and the model's other versions with them. It takes calls when
        it is ready, not before. A caller that goes away does not end it.

        Args:
            manifest: of the bundle at ``path``, with the name and version that calls are to find it by.
            holder: under which name the ledger has what it takes.
            replaces: of the same version one may be served: that takes no new calls from then on, and is to be taken
                out. If the new one cannot be loaded, nothing has changed.

        Raises:
            AttendantError: what kept it from being loaded. The table has it as failed then, unless it has the version.
        """
        await asyncio.shield(asyncio.ensure_future(self._bring(path, manifest, holder, replaces=replaces)))

    async def unload(self, name: str, drain_timeout_s: float) -> None:
        """Let a model's calls finish for so many seconds, fail the rest, and free all that it has: every version, or
        of ``name@version`` that one. A caller that goes away does not end it.

        Raises:
            ModelNotFound: there is none of this name.
        """
        await asyncio.shield(asyncio.ensure_future(self._unload(name, drain_timeout_s)))

    async def take_out(self, entries: Iterable[Entry[S]], drain_timeout_s: float) -> None:
        """The same of these versions; those that are gone by then are none of its business."""
        await asyncio.shield(asyncio.ensure_future(self._take_out(tuple(entries), drain_timeout_s)))

    def can_renew(self, entry: Entry[S]) -> bool:
        """Whether a model whose engine died can be loaded anew: it is to be served on, and it is known from where."""
        return not (self._loader is None or entry.path is None or entry.draining or self._entries.closing)

    async def renew(self, entry: Entry[S]) -> None:
        """Stop what is left of a version that died, and load it anew. Nothing is done if it has left meanwhile.

        Raises:
            Exception: what keeps it from being loaded; it may be tried again. Draining: this is the end.
        """
        await asyncio.shield(asyncio.ensure_future(self._renew(entry)))

    async def tell(self) -> None:
        """Something has changed."""
        if self._on_change is not None:
            await self._on_change()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        await asyncio.gather(*(each.drain(timeout_s) for each in self.refuse()))

    def refuse(self) -> list[S]:
        """Take no new calls and no new models from now on; what took calls until now."""
        self._entries.end()
        serving = [entry.serving for entry in self._entries if entry.serving is not None]
        for each in serving:
            each.refuse("the server")
        return serving

    async def close(self) -> None:
        """Stop every model, also one that comes or goes just now."""
        self._entries.end()
        if self._loader is not None:
            self._loader.stop()
        await self._entries.close_all()
        async with self._changing:
            await self._entries.close_all()
        self._thread.close()

    async def _bring(self, path: Path, manifest: Manifest, holder: str, *, replaces: bool) -> None:
        assert self._loader is not None, "whoever made the table gave it a loader"
        async with self._changing:
            self._entries.check_open()
            name, version = manifest.name, manifest.version
            before = [entry for entry in self._entries.of(name) if entry.version == version]
            served = [entry for entry in before if entry.failed is None]
            if served and not replaces:
                raise BundleError(path, f"has the name {name!r}, which version {version} has that is served")
            for entry in before:
                if entry.failed is not None:
                    self._entries.remove(entry)
            while any(entry.holder == holder for entry in self._entries):
                holder += " (new files)"
            entry = Entry[S](name, manifest, manifest.capabilities, version, holder, path=path)
            self._entries.add(entry)
            await self.tell()
            error = await self._try(entry, path, manifest, kept=not served)
            if error is None:
                for other in served:
                    other.draining = True
            self._entries.elect(name)
            garbage.collect()
            await self.tell()
        if error is not None:
            raise error

    async def _try(self, entry: Entry[S], path: Path, manifest: Manifest, *, kept: bool) -> Exception | None:
        """Load and start a version. Returns what kept it from that; ``kept``: the table has it as failed then."""
        assert self._loader is not None, "there is one"
        try:  # without a name for the model: an error that is kept would keep it, too
            load, holder = self._loader.load, entry.holder
            await self._entries.start(entry, await self._thread.run(load, path, manifest, holder))
        except Exception as error:  # noqa: BLE001
            # supervision point: a bundle's fault, of whatever kind, is its own
            given_up = self._give_up(entry, error)
            if not kept:
                self._entries.remove(given_up)
            assert given_up.failed is not None, "it has just failed"
            return given_up.failed.error
        return None

    async def _renew(self, entry: Entry[S]) -> None:
        async with self._changing:
            self._entries.check_open()
            if entry not in self._entries or not self.can_renew(entry):
                return
            await self._entries.close(entry)
            await self._let_go((entry,))
            assert self._loader and entry.path and entry.manifest, "can_renew"  # noqa: PT018
            load, holder = self._loader.load, entry.holder
            await self._entries.start(entry, await self._thread.run(load, entry.path, entry.manifest, holder))
            entry.restarting = False
            self._entries.elect(entry.name)
            garbage.collect()
            await self.tell()

    async def _unload(self, name: str, drain_timeout_s: float) -> None:
        async with self._changing:
            leaving = self.of(name)
            if not leaving:
                raise not_found(self._entries, name)
            await self._leave(leaving, drain_timeout_s)

    async def _take_out(self, entries: tuple[Entry[S], ...], drain_timeout_s: float) -> None:
        async with self._changing:
            await self._leave(tuple([entry for entry in entries if entry in self._entries]), drain_timeout_s)

    async def _leave(self, leaving: tuple[Entry[S], ...], drain_timeout_s: float) -> None:
        for entry in leaving:
            entry.draining = entry.serving is not None
        for name in {entry.name for entry in leaving}:
            self._entries.elect(name)
        await self.tell()
        for entry in leaving:
            if entry.serving is not None:
                entry.serving.refuse(f"model {entry.name!r}")
        await asyncio.gather(*(e.serving.drain(drain_timeout_s) for e in leaving if e.serving is not None))
        await asyncio.gather(*(self._entries.close(entry) for entry in leaving))
        for entry in leaving:
            self._entries.remove(entry)
        await self._let_go(leaving)
        for entry in leaving:
            logger.info("model %r is unloaded", entry.name if entry.current else entry.full_name)
        await self.tell()

    async def _let_go(self, entries: Iterable[Entry[S]]) -> None:
        """Free what versions hold that are closed."""
        for entry in entries:
            self._entries.let_go(entry)
            self._free(entry)
        await asyncio.sleep(0)  # what the loop still has to call for them is called
        garbage.collect()
        await self._thread.run(garbage.give_back)

    def _give_up(self, entry: Entry[S], error: Exception, *, strict: bool = False) -> Entry[S]:
        self._entries.remove(entry)
        self._free(entry)
        failed = replace(FailedModel.of(entry.name, error, entry.manifest), current=not self._entries.of(entry.name))
        failed.give_up(strict=strict)
        return self._entries.fail(failed)

    def _free(self, entry: Entry[S]) -> None:
        """Let the ledger know that a version holds nothing any more."""
        if self._loader is not None:
            self._loader.ledger.release(entry.holder)
