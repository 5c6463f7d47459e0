"""The models of a server: which there are, in which state each is, and how they come and go. Asked at each call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from attendant.bundle import Capability, Manifest, read_any_manifest
from attendant.core.errors import AttendantError, BundleError, Draining, ModelNotFound, Unavailable
from attendant.models import garbage
from attendant.models.failed import FailedModel
from attendant.models.info import ModelState
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.models.lookup import Wanted, find

logger = logging.getLogger(__name__)


class Serving(Protocol):
    """What takes the calls of one model that is in memory, and runs it."""

    @property
    def ready(self) -> bool:
        """Whether nothing of it has died."""

    async def start(self) -> None:
        """Begin. Raises what keeps the model from being run; then it is closed, too."""

    def refuse(self, who: str) -> None:
        """Take no new calls from now on; ``who``: shuts down, for the errors."""

    async def drain(self, timeout_s: float) -> None:
        """Let running calls finish for so many seconds, and fail the rest with Draining."""

    async def close(self) -> None:
        """Stop all threads; who is left fails. Nothing of it is used after that."""


S = TypeVar("S", bound=Serving)


F = TypeVar("F", covariant=True)


class Finder(Protocol[F]):
    """A table of models, as those see it who ask for what takes a call."""

    def find(self, name: str, wanted: Wanted) -> F:
        """See :meth:`ModelTable.find`."""


@dataclass(slots=True, eq=False)
class Entry(Generic[S]):
    """One model of the table.

    Attributes:
        manifest: None if it cannot be read.
        serving: while it is ready or draining.
        failed: why it is not served, if it is not.
    """

    name: str
    manifest: Manifest | None
    capabilities: tuple[Capability, ...]
    serving: S | None = None
    failed: FailedModel | None = None
    draining: bool = False

    @classmethod
    def of(cls, model: LoadedModel, serving: S | None = None) -> Entry[S]:
        """A model in memory."""
        return cls(model.name, model.manifest, model.capabilities, serving)

    @property
    def state(self) -> ModelState:
        """The state that the model is in. One whose engine died has failed, though it still tells its calls."""
        if self.failed is not None or (self.serving is not None and not self.serving.ready):
            return ModelState.FAILED
        if self.serving is None:
            return ModelState.LOADING
        return ModelState.DRAINING if self.draining else ModelState.READY

    def refusal(self) -> AttendantError | None:
        """What ends a call to the model; None if it takes calls."""
        if self.failed is not None:
            return self.failed.refusal()
        if self.serving is None:
            return Unavailable(f"model {self.name!r} is being loaded; try again")
        if self.draining:
            return Draining(f"model {self.name!r} is being unloaded and takes no new requests")
        return None


class ModelTable(Generic[S]):
    """The models of a server, by name. It belongs to one event loop.

    Models come and go one at a time, while the others serve.

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
        self._serve = serve
        self._loader = loader
        self._on_change = on_change
        self._entries: dict[str, Entry[S]] = {}
        self._changing = asyncio.Lock()

    @property
    def entries(self) -> tuple[Entry[S], ...]:
        """Every model, whatever its state."""
        return tuple(self._entries.values())

    def find(self, name: str, wanted: Wanted) -> S:
        """What takes a call; see :func:`attendant.models.lookup.find`.

        Raises:
            ModelNotFound, ModelFailed, InvalidRequest. Unavailable: the model is being loaded. Draining: it leaves.
        """
        serving = find(self._entries.values(), name, wanted).serving
        assert serving is not None, "it refuses"
        return serving

    async def start(self, bundles: LoadedBundles, *, strict: bool = False) -> None:
        """Serve what was loaded. A model that cannot be prepared is given up; the others are served.

        Raises:
            AttendantError: what kept the first from being prepared, if ``strict`` or if none is left; all are closed.
        """
        for model in bundles.models:
            self._entries[model.name] = Entry.of(model)
        for failed in bundles.failed:
            self._put(failed)
        try:
            for model in bundles.models:
                entry = self._entries[model.name]
                try:
                    await self._start(entry, model)
                except Exception as error:  # noqa: BLE001
                    # supervision point: a model's fault, of whatever kind, is its own
                    self._give_up(entry, error, strict=strict)
            given_up = [entry.failed for entry in self._entries.values() if entry.failed is not None]
            if given_up and len(given_up) == len(self._entries):
                raise given_up[0].error
        except BaseException:
            await self.close()
            raise

    def adopt(self, model: LoadedModel, serving: S) -> None:
        """Have a model that is served already: ``serving`` was started."""
        self._entries[model.name] = Entry.of(model, serving)

    async def load(self, path: Path) -> str:
        """Load a bundle while others serve; its name. A caller that goes away does not end it.

        Raises:
            AttendantError: it cannot be loaded, or one of its name is served. The table has it as failed then.
        """
        return await asyncio.shield(asyncio.ensure_future(self._load(path)))

    async def unload(self, name: str, drain_timeout_s: float) -> None:
        """Let a model's calls finish for so many seconds, fail the rest, and free all that it has. A caller that goes
        away does not end it.

        Raises:
            ModelNotFound: there is none of this name.
        """
        await asyncio.shield(asyncio.ensure_future(self._unload(name, drain_timeout_s)))

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        serving = self._all()
        for each in serving:
            each.refuse("the server")
        await asyncio.gather(*(each.drain(timeout_s) for each in serving))

    async def close(self) -> None:
        """Stop every model."""
        await asyncio.gather(*(each.close() for each in self._all()))

    def _all(self) -> tuple[S, ...]:
        return tuple(entry.serving for entry in self._entries.values() if entry.serving is not None)

    async def _load(self, path: Path) -> str:
        assert self._loader is not None, "whoever made the table gave it a loader"
        async with self._changing:
            manifest = await asyncio.to_thread(read_any_manifest, path)
            known = self._entries.get(manifest.name)
            if known is not None and known.failed is None:
                version = known.manifest.version if known.manifest is not None else ""
                raise BundleError(path, f"has the name {manifest.name!r}, which version {version} has that is served")
            entry = self._entries[manifest.name] = Entry[S](manifest.name, manifest, manifest.capabilities)
            await self._tell()
            try:  # without a name for the model: an error that is kept would keep it, too
                await self._start(entry, await asyncio.to_thread(self._loader.load, path, manifest))
            except Exception as error:  # noqa: BLE001
                # supervision point: a bundle's fault, of whatever kind, is its own
                self._loader.ledger.release(manifest.name)
                self._give_up(entry, error)
            garbage.collect()
            await self._tell()
        if (failed := self._entries[manifest.name].failed) is not None:
            raise failed.error
        return manifest.name

    async def _unload(self, name: str, drain_timeout_s: float) -> None:
        async with self._changing:
            entry = self._entries.get(name)
            if entry is None:
                raise ModelNotFound(name, tuple(sorted(self._entries)))
            if entry.serving is not None:
                entry.draining = True
                await self._tell()
                entry.serving.refuse(f"model {name!r}")
                await entry.serving.drain(drain_timeout_s)
                await entry.serving.close()
            del self._entries[name], entry
            if self._loader is not None:
                self._loader.ledger.release(name)
            await asyncio.sleep(0)  # what the loop still has to call for it is called
            garbage.collect()
            logger.info("model %r is unloaded", name)
            await self._tell()

    async def _start(self, entry: Entry[S], model: LoadedModel) -> None:
        serving = self._serve(model)
        try:
            await serving.start()
        except BaseException:
            await serving.close()
            raise
        entry.capabilities, entry.serving = model.capabilities, serving

    def _give_up(self, entry: Entry[S], error: Exception, *, strict: bool = False) -> None:
        failed = FailedModel.of(entry.name, error, entry.manifest)
        failed.give_up(strict=strict)
        self._put(failed)

    def _put(self, failed: FailedModel) -> None:
        """Have a model that cannot be served, last of all."""
        self._entries.pop(failed.name, None)
        self._entries[failed.name] = Entry(failed.name, failed.manifest, failed.capabilities, failed=failed)

    async def _tell(self) -> None:
        if self._on_change is not None:
            await self._on_change()
