"""The models of a repository: which versions are loaded, when, and what becomes of those before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from attendant.core.audit import changing
from attendant.core.errors import AttendantError, BundleError, ConfigurationError, ModelFailed, NotAllowed, Unavailable
from attendant.core.repository import ModelVersion, full_name
from attendant.core.version_policy import VersionPolicy
from attendant.models.entry import Entry
from attendant.models.folder import Key, ModelFolder, Stored
from attendant.models.ledger import MemoryLedger
from attendant.models.stock import Stock
from attendant.models.table import ModelTable
from attendant.settings import RepositorySettings

logger = logging.getLogger(__name__)

Settled = frozenset[Key] | None
"""Versions whose files did not change between two looks; None: it does not matter."""


class ModelRepository:
    """Versions that come and go, one at a time, in the order in which it was asked for. It belongs to one event loop.

    A new version takes the calls to its name when it is loaded, verified and warm; then the one before drains. One that
    cannot be loaded changes nothing: it is tried again when its files have changed, or when somebody asks.

    Args:
        drain_timeout_s: seconds that calls to a version that leaves may go on.
        ledger: of the table's loader.
        folder: of models; None: there are only bundles that were named one by one.
    """

    def __init__(
        self,
        table: ModelTable[Any],
        settings: RepositorySettings,
        drain_timeout_s: float,
        ledger: MemoryLedger,
        folder: Path | None = None,
    ) -> None:
        self._table = table
        self._settings = settings
        self._drain_timeout_s = drain_timeout_s
        self._ledger = ledger
        self._folder = ModelFolder(folder)
        self._keeps_room = folder is not None and settings.control != "none"
        self._stock = Stock(table, settings.policies())
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def index(self) -> tuple[ModelVersion, ...]:
        """Every version of every model, by name and then version, as the folder was seen last."""
        return self._stock.index()

    def policy(self, name: str) -> VersionPolicy:
        """Which versions of a model are served; of a bundle that was named all that there is."""
        return self._stock.policy(name)

    async def refresh(self) -> None:
        """Look at the folder, and change nothing; if it cannot be read, the index stays as it was seen last."""
        async with self._turn:
            await self._look_if_possible()

    # -- the start and the end

    async def survey(self) -> int:
        """How many shares of each memory are to be kept at the start for the folder's models: one for each that is to
        be loaded and generates, and one for a version that comes later.

        Raises:
            ConfigurationError: the folder cannot be read; a model is to be loaded that it has not.
        """
        await self._look()
        return len(self._stock.generating(self._at_start())) + self._keeps_room

    async def start(self, named: Mapping[str, Path], *, strict: bool = False) -> None:
        """Load what is to be served from the start, and go on as the settings say.

        Args:
            named: bundles that were named one by one, by the names that they have. The table has them already.

        Raises:
            ConfigurationError: the folder cannot be read; a model is to be loaded that it has not.
            AttendantError: the first version that cannot be loaded, if ``strict``.
        """
        self._folder.named.update(named)
        await self._look()
        self._stock.take_over(frozenset(named))
        wanted = self._at_start()
        others = sum("generate" in entry.capabilities for entry in self._table.entries)
        shares = len(self._stock.generating(wanted)) + others + self._keeps_room
        self._ledger.expect([full_name(*key) for key in self._stock.stored if key[0] not in named], among=shares)
        for name, version in wanted:
            await (self._ensure(self._stock.stored[name, version]) if version else self._follow(name))
            if strict and (refused := self._stock.refusals(name)):
                raise refused[0].error
        self._ledger.expect(())
        if self._keeps_room and self._settings.control == "poll":
            self._spawn(self._watch())

    async def close(self) -> None:
        """Look at the folder no more. To be called when the table is closed: nothing drains any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- by calls

    async def load(self, name: str, version: str = "") -> tuple[ModelVersion, ...]:
        """See :class:`attendant.core.repository.Repository`. What is loaded with the files that it has now stays as it
        is. A version that is named is loaded beside the others; else those leave that the policy does not say."""
        with changing("load", full_name(name, version)):
            self._check_open("loaded")
            return await asyncio.shield(asyncio.ensure_future(self._load(name, version)))

    async def unload(self, name: str, version: str = "", drain_timeout_s: float | None = None) -> None:
        """See :class:`attendant.core.repository.Repository`."""
        with changing("unload", full_name(name, version)):
            self._check_open("unloaded")
            timeout_s = self._drain_timeout_s if drain_timeout_s is None else drain_timeout_s
            await asyncio.shield(asyncio.ensure_future(self._unload(name, version, timeout_s)))

    async def _load(self, name: str, version: str) -> tuple[ModelVersion, ...]:
        async with self._turn:
            try:
                await self._look()
            except ConfigurationError as error:
                logger.warning("%s", error)
                raise ModelFailed(full_name(name, version), "the folder of models cannot be read") from error
            wanted = [key for key in self._stock.stored if key[0] == name and version in ("", key[1])]
            if not wanted:
                raise self._stock.not_found(name, version)
            if version:
                found = wanted if await self._ensure(self._stock.stored[wanted[0]], asked=True) else []
            else:
                found = await self._follow(name, asked=True)
            refused = self._stock.refusals(name, version)
            if refused and (version or not found):
                kept = refused[0].error
                raise kept if isinstance(kept, Unavailable) else refused[0].refusal() from kept
            if not found:
                raise self._stock.nothing_to_load(name, version)
            rows = {(row.name, row.version): row for row in self.index()}
            return tuple([rows[key] for key in found])

    async def _unload(self, name: str, version: str, drain_timeout_s: float) -> None:
        async with self._turn:
            leaving = self._table.of(full_name(name, version))
            if not leaving:
                await self._look_if_possible()
                raise self._stock.not_loaded(name, version)
            for entry in leaving:
                self._stock.gone((entry.name, entry.version))
            await self._table.take_out(leaving, drain_timeout_s)

    # -- by looking

    async def _watch(self) -> None:
        before = self._stock.stored  # as this saw it last: who asks for the index looks between
        while True:
            await asyncio.sleep(self._settings.poll_s)
            try:
                async with self._turn:
                    await self._look()
                    await self._follow_all(before)
                    before = self._stock.stored
            except ConfigurationError as error:
                logger.warning("the models' folder was not looked at: %s", error)
            except Exception:
                # supervision point: the next look may find it mended
                logger.exception("the models' folder was not followed")

    async def _follow_all(self, before: Mapping[Key, Stored]) -> None:
        """Serve what the policies say. Files that have changed since ``before`` may still be copied: they wait."""
        stored = self._stock.stored
        settled = frozenset(key for key, each in stored.items() if key in before and before[key].seal == each.seal)
        for name in self._stock.names():
            if name not in self._stock.named:
                await self._follow(name, settled=settled)

    async def _follow(self, name: str, *, asked: bool = False, settled: Settled = None) -> list[Key]:
        """Serve the versions of a model that its policy says, and let the others go. As long as none of them can be
        loaded, those go on that are loaded. Returns those that are served."""
        stored, policy, found = self._stock.versions(name), self._stock.policy(name), list[Key]()
        for version in policy.candidates(stored):
            if policy.count is not None and len(found) == policy.count:
                break
            if await self._ensure(stored[version], asked=asked, settled=settled):
                found.append((name, version))
        others = [entry for entry in self._table.of(name) if (name, entry.version) not in found]
        leaving = [entry for entry in others if entry.failed is not None and entry.version not in stored]
        if found or not any(key[0] == name for key in self._stock.stored):
            leaving += [entry for entry in others if entry.takes_calls]
        self._let_go(leaving)
        return found

    async def _ensure(self, stored: Stored, *, asked: bool = False, settled: Settled = None) -> bool:
        """Have a version served with the files that it has now. One that was refused is tried again if it is ``asked``
        for, or has changed and is ``settled`` since. Returns whether it is served, be it with files from before."""
        name, stock = full_name(*stored.key), self._stock
        if stock.is_loaded(stored):
            return True
        waits = settled is not None and stored.key not in settled
        if not asked and (waits or stock.is_refused(stored)):
            return stock.serves(stored.key)
        try:
            if stored.fault or stored.manifest is None:
                logger.error("model %r is not loaded: %s", name, stored.fault)
                raise BundleError(stored.path, stored.fault)
            await self._table.bring(stored.path, stored.manifest, name)
        except AttendantError as error:
            stock.refuse(stored, error)
            return stock.serves(stored.key)
        stock.loaded(stored)
        logger.info("model %r is loaded", name)
        self._let_go([entry for entry in self._table.of(name) if entry.draining])
        return True

    def _let_go(self, leaving: Iterable[Entry[Any]]) -> None:
        """Let versions drain, beside whatever comes next, which waits until they are gone before it takes memory."""
        entries = tuple(leaving)
        for entry in entries:
            if not entry.draining:  # else others of the version have come in its place
                self._stock.gone((entry.name, entry.version))
        if entries:
            self._spawn(self._table.take_out(entries, self._drain_timeout_s))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self) -> None:
        """Raises ConfigurationError: the folder cannot be read; what was known of it stays."""
        self._stock.seen(await asyncio.to_thread(self._folder.look))

    async def _look_if_possible(self) -> None:
        """The same, with a warning in the log."""
        try:
            await self._look()
        except ConfigurationError as error:
            logger.warning("%s", error)

    def _at_start(self) -> list[Key]:
        return self._stock.at_start(self._settings.load if self._settings.control == "explicit" else None)

    def _check_open(self, what: str) -> None:
        if self._settings.control != "explicit":
            raise NotAllowed(
                f"models are not {what} by calls here: repository.control is {self._settings.control!r}; allowed with: "
                "'explicit'"
            )
