"""What a repository has, what of it is loaded, what was refused and why; no more than an account of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.core.errors import AttendantError, ConfigurationError, ModelFailed, ModelNotFound
from attendant.core.repository import ModelVersion, VersionState, full_name, split_name, version_order
from attendant.core.version_policy import Policies, VersionPolicy
from attendant.models.entry import Entry
from attendant.models.failed import FailedModel
from attendant.models.folder import Key, Seal, Stored
from attendant.models.garbage import forget_frames
from attendant.models.info import DEAD, ModelState
from attendant.models.table import ModelTable

STATES = {
    ModelState.LOADING: VersionState.LOADING,
    ModelState.READY: VersionState.READY,
    ModelState.DRAINING: VersionState.DRAINING,
    ModelState.FAILED: VersionState.FAILED,
}
CAUSES = {
    ModelState.LOADING: "it is being loaded",
    ModelState.DRAINING: "it is being unloaded; calls that run may finish",
    ModelState.FAILED: DEAD,
}
"""Why a version takes no calls that is in these states and was not refused."""


class Stock:
    """The account of a repository.

    Attributes:
        stored: every version as it was seen last.
        named: names of bundles that were named one by one.
    """

    def __init__(self, table: ModelTable[Any], policies: Policies) -> None:
        self._table = table
        self._policies = policies
        self._loaded: dict[Key, Seal] = {}
        self._refused: dict[Key, tuple[Seal, AttendantError]] = {}
        self.stored: Mapping[Key, Stored] = {}
        self.named: frozenset[str] = frozenset()

    # -- what happens

    def seen(self, stored: Mapping[Key, Stored]) -> None:
        """This is what there is now."""
        self.stored = stored
        self._refused = {key: kept for key, kept in self._refused.items() if key in stored}

    def take_over(self, named: frozenset[str]) -> None:
        """The bundles of these names are in the table, loaded or refused, as they are now."""
        self.named = named
        for entry in self._table.entries:
            stored = self.stored.get((entry.name, entry.version))
            if stored is not None and entry.failed is None:
                self._loaded[stored.key] = stored.seal
            elif stored is not None and entry.failed is not None:
                self._refused[stored.key] = stored.seal, entry.failed.error

    def loaded(self, stored: Stored) -> None:
        """A version is loaded as it was seen."""
        self._refused.pop(stored.key, None)
        self._loaded[stored.key] = stored.seal

    def refuse(self, stored: Stored, error: AttendantError) -> None:
        """A version cannot be loaded as it was seen."""
        forget_frames(error)
        self._refused[stored.key] = stored.seal, error

    def gone(self, key: Key) -> None:
        """A version is loaded no more."""
        self._loaded.pop(key, None)

    # -- what is so

    def serves(self, key: Key) -> bool:
        """Whether a version takes calls, be it with files from before."""
        servings = [entry.serving for entry in self._table.of(full_name(*key)) if entry.takes_calls]
        return any(serving is not None and serving.ready for serving in servings)

    def is_loaded(self, stored: Stored) -> bool:
        """Whether a version takes calls with the files that were seen."""
        return self.serves(stored.key) and self._loaded.get(stored.key) == stored.seal

    def is_refused(self, stored: Stored) -> bool:
        """Whether the files that were seen were refused."""
        return stored.key in self._refused and self._refused[stored.key][0] == stored.seal

    def refusals(self, name: str, version: str = "") -> list[FailedModel]:
        """Why versions of a model were refused, the newest first."""
        keys = [key for key in self._refused if key[0] == name and version in ("", key[1])]
        keys.sort(key=lambda key: version_order(key[1]), reverse=True)
        return [FailedModel(full_name(*key), self._refused[key][1]) for key in keys]

    def names(self) -> list[str]:
        """Of all models that are there or loaded."""
        return sorted({name for name, _ in (*self.stored, *self._loaded)})

    def versions(self, name: str) -> dict[str, Stored]:
        """Versions of a model that are meant to be loaded."""
        return {key[1]: each for key, each in self.stored.items() if key[0] == name and each.is_version}

    def policy(self, name: str) -> VersionPolicy:
        """Which versions of a model are served; a bundle that was named is."""
        return VersionPolicy(None) if name in self.named else self._policies.of(name)

    def at_start(self, asked: tuple[str, ...] | None) -> list[Key]:
        """Names, with a version where one is asked for, of what is loaded from the start beside the named bundles.

        Args:
            asked: for which; None: for all.

        Raises:
            ConfigurationError: one is not there.
        """
        names = list(dict.fromkeys(name for name, _ in self.stored if name not in self.named))
        if asked is None or "*" in asked:
            return [(name, "") for name in names]
        keys = [split_name(each) for each in asked]
        for name, version in keys:
            if name not in names or (version and (name, version) not in self.stored):
                raise ConfigurationError(
                    f"repository.load names {full_name(name, version)!r}, which model_repository has not; it has: "
                    f"{', '.join(map(repr, names)) or 'none'}"
                )
        return keys

    def generating(self, wanted: list[Key]) -> list[Key]:
        """Of what is to be loaded, the versions that need memory of their own for what they generate, as far as looking
        shows that."""
        found: list[Key] = []
        for name, version in wanted:
            good = [
                each.version
                for each in self.versions(name).values()
                if not each.fault and each.manifest is not None and "generate" in each.manifest.capabilities
            ]
            policy = self.policy(name)
            chosen = policy.candidates(good)[: policy.count]
            found += [(name, each) for each in (chosen if not version else [version]) if each in good]
        return found

    def not_found(self, name: str, version: str) -> ModelNotFound:
        """What who asks for this model hears, which is not there."""
        if version:
            known = {full_name(*key) for key, each in self.stored.items() if each.is_version}
            known |= {full_name(*key) for key in self._loaded}
        else:
            known = set(self.names())
        return ModelNotFound(full_name(name, version), tuple(sorted(known)), stored=True)

    def not_loaded(self, name: str, version: str) -> ModelNotFound:
        """What who wants this model unloaded hears, which is not loaded, or not even there."""
        if not any(key[0] == name and version in ("", key[1]) for key in self.stored):
            return self.not_found(name, version)
        known = {full_name(entry.name, entry.version if version else "") for entry in self._table.entries}
        return ModelNotFound(full_name(name, version), tuple(sorted(known)))

    def nothing_to_load(self, name: str, version: str) -> ModelFailed:
        """What who asks for this model hears, which is there and has no version that may be loaded."""
        versions = self.versions(name)
        faults = [each.fault for key, each in self.stored.items() if key[0] == name and version in ("", key[1])]
        cause = f"its policy says none of its versions, which are {', '.join(versions)}" if versions else faults[0]
        return ModelFailed(full_name(name, version), cause)

    # -- the index

    def index(self) -> tuple[ModelVersion, ...]:
        """Every version of every model, by name and then version."""
        entries: dict[Key, Entry[Any]] = {}
        for entry in self._table.entries:
            before = entries.get((entry.name, entry.version))
            if before is None or entry.rank > before.rank:
                entries[entry.name, entry.version] = entry
        keys = sorted(entries.keys() | self.stored.keys(), key=lambda key: (key[0], version_order(key[1])))
        return tuple([self._row(key, entries.get(key)) for key in keys])

    def _row(self, key: Key, entry: Entry[Any] | None) -> ModelVersion:
        stored, refused = self.stored.get(key), self._refused.get(key)
        state, cause = VersionState.UNAVAILABLE, "it is not loaded"
        if refused is not None:
            state, cause = VersionState.FAILED, FailedModel(key[0], refused[1]).cause
        elif stored is not None and stored.fault:
            state, cause = (VersionState.FAILED if stored.is_version else state), stored.fault
        elif entry is not None:
            cause = ""
        if entry is not None:
            state = STATES[entry.state]
            cause = entry.failed.cause if entry.failed is not None else CAUSES.get(entry.state, cause)
        return ModelVersion(*key, state, cause, entry is not None and entry.current)
