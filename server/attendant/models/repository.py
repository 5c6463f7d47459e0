"""The models of a server: loads every bundle, and finds models by name and by what a call wants of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attendant.models.discovery import discover
from attendant.models.failed import FailedModel
from attendant.models.ledger import MemoryLedger
from attendant.models.loaded import LoadedModel, load_model
from attendant.models.lookup import Wanted, find
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings

logger = logging.getLogger(__name__)


class ModelRepository:
    """The models of this server, by name: those in memory, over which it iterates, and those that failed."""

    def __init__(self, models: Iterable[LoadedModel], failed: Iterable[FailedModel] = ()) -> None:
        self._models = {model.name: model for model in models}
        self._failed = {model.name: model for model in failed}

    @classmethod
    def load(
        cls,
        bundles: Sequence[Path],
        settings: EngineSettings,
        *,
        encoder: EncoderSettings | None = None,
        gpu: GpuSettings | None = None,
        verify: bool,
        progress: Callable[[str], None],
        strict: bool = False,
    ) -> ModelRepository:
        """Load every bundle. Blocking: seconds for each. One that cannot be loaded leaves the others alone.

        Args:
            bundles: bundle folders, or folders of bundle folders.
            settings, encoder: of models that generate, and of those that encode.
            verify: check each file's SHA-256.
            progress: takes a line for each stage.
            strict: raise for the first bundle that cannot be loaded.

        Raises:
            BundleError, ConfigurationError: naming the file or setting and the cause; of the first bundle, if none can
                be loaded.
        """
        found = discover(bundles, gpu)
        repository = cls(())
        for failed in found.failed:
            repository.give_up(failed, strict=strict)
        ledger = MemoryLedger()
        ledger.expect(manifest.name for _, manifest in found.bundles if "generate" in manifest.capabilities)
        for path, manifest in found.bundles:
            try:
                repository._models[manifest.name] = load_model(
                    path,
                    manifest,
                    settings,
                    encoder or EncoderSettings(),
                    gpu or GpuSettings(),
                    ledger=ledger,
                    verify=verify,
                    progress=progress,
                )
            except Exception as error:  # noqa: BLE001
                # supervision point: a bundle's fault, of whatever kind, is its own
                repository.give_up(FailedModel.of(manifest.name, error, manifest), strict=strict)
        repository.check_some()
        return repository

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._models.values())

    @property
    def failed(self) -> tuple[FailedModel, ...]:
        """Every model that cannot be served."""
        return tuple(self._failed.values())

    def give_up(self, failed: FailedModel, *, strict: bool = False) -> None:
        """A model cannot be served, though others can. Raises its error if ``strict``."""
        if strict:
            raise failed.error
        logger.error("model %r is not served: %s", failed.name, failed.error)
        self._models.pop(failed.name, None)
        self._failed[failed.name] = failed

    def check_some(self) -> None:
        """Raises the error of the first model that failed if nothing is left to serve."""
        if self._failed and not self._models:
            raise self.failed[0].error

    def find(self, name: str, wanted: Wanted) -> LoadedModel:
        """The model that a call means: see :func:`attendant.models.lookup.find`.

        Raises:
            ModelNotFound, ModelFailed, InvalidRequest.
        """
        known: list[LoadedModel | FailedModel] = [*self._models.values(), *self._failed.values()]
        found = find(known, name, wanted)
        assert isinstance(found, LoadedModel), "one that failed refuses"
        return found
