"""Loads bundles with one set of settings, and keeps the account of the memory that their models take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attendant.bundle import MANIFEST_FILE, Manifest, read_any_manifest
from attendant.bundle.signatures import BundleKeys
from attendant.core.errors import BundleError, Draining
from attendant.core.fair_order import OrderRules
from attendant.models import garbage
from attendant.models.discovery import discover
from attendant.models.failed import FailedModel
from attendant.models.ledger import MemoryLedger
from attendant.models.loaded import LoadedModel, load_model
from attendant.models.memory import available_processors
from attendant.runtime.prepared import PreparedWeights
from attendant.runtime.processors import Processors
from attendant.runtime.resident import Resident
from attendant.runtime.session import Shared
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings


@dataclass(frozen=True, slots=True)
class LoadedBundles:
    """What became of the bundles that a server starts with: models in memory, and those that cannot be served.

    Attributes:
        paths: where the bundles are, by the names that they have.
    """

    models: tuple[LoadedModel, ...]
    failed: tuple[FailedModel, ...] = ()
    paths: Mapping[str, Path] = field(default_factory=dict)

    def check_some(self) -> None:
        """Raises the error of the first model that failed if no other was loaded."""
        if self.failed and not self.models:
            raise self.failed[0].error


class ModelLoader:
    """Loads bundles. Blocking; one at a time.

    Args:
        settings, encoder: of models that generate, and of those that encode.
        verify: check each file's SHA-256.
        keys: of those whose bundles are served; None: anybody's are.
        progress: takes a line for each stage.
        prepared: folder of weights that are packed once and mapped by all who serve them; None: each session packs
            its own.
        order: of those who wait, for every model.

    Attributes:
        ledger: of the memory that models hold.
        processors: that the runs of all models take turns on.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        encoder: EncoderSettings | None = None,
        gpu: GpuSettings | None = None,
        verify: bool,
        keys: BundleKeys | None = None,
        progress: Callable[[str], None],
        prepared: Path | None = None,
        order: OrderRules | None = None,
    ) -> None:
        self._settings = settings
        self._encoder = encoder or EncoderSettings()
        self._gpu = gpu
        self._verify = verify
        self._keys = keys
        self._progress = progress
        self._prepared = prepared
        self._order = order or OrderRules()
        self._stops = False
        self.ledger = MemoryLedger()
        self.processors = Processors(available_processors())

    def load_all(self, bundles: Sequence[Path], *, strict: bool = False, beside: int = 0) -> LoadedBundles:
        """Load every bundle that a server starts with; those that generate share the memory evenly. One that cannot be
        loaded leaves the others alone.

        Args:
            bundles: bundle folders, or folders of bundle folders.
            strict: raise for the first bundle that cannot be loaded.
            beside: shares of the memory that are kept for models that come after these.

        Raises:
            BundleError, ConfigurationError: naming the file or setting and the cause; of the first bundle, if none can
                be loaded.
        """
        found = discover(bundles, self._gpu)
        models: list[LoadedModel] = []
        failed = list(found.failed)
        for model in failed:
            model.give_up(strict=strict)
        generating = [manifest.name for _, manifest in found.bundles if "generate" in manifest.capabilities]
        self.ledger.expect(generating, among=len(generating) + beside)
        for path, manifest in found.bundles:
            try:
                models.append(self.load(path, manifest))
            except Exception as error:  # noqa: BLE001
                # supervision point: a bundle's fault, of whatever kind, is its own
                failed.append(FailedModel.of(manifest.name, error, manifest))
                failed[-1].give_up(strict=strict)
        paths = {manifest.name: path for path, manifest in found.bundles} | dict(found.unread)
        loaded = LoadedBundles(tuple(models), tuple(failed), paths)
        loaded.check_some()
        return loaded

    def load(self, path: Path, manifest: Manifest, holder: str = "") -> LoadedModel:
        """Load one bundle and run it once. Seconds.

        Args:
            holder: under which name the ledger has what it takes; empty: the model's.

        Raises:
            BundleError, ConfigurationError: naming the file or setting and the cause. What it had taken is free again.
            Draining: it was told to stop.
        """
        self._check_signature(path, manifest)
        turns, before = self.processors.turns(loading=True), Resident.now()
        with garbage.large_pieces_apart():
            model = load_model(
                path,
                manifest,
                self._settings,
                self._encoder,
                self._gpu or GpuSettings(),
                account=self.ledger.account(holder or manifest.name),
                shared=Shared(turns, self._weights_of(manifest)),
                verify=self._verify,
                progress=self._tell,
                order=self._order,
            )
        turns.serves()
        process = model.generator.process if model.generator is not None else None
        after = Resident.now() if process is None else Resident.now() + process.resident()
        self._progress(f"{manifest.name}: takes about {after.since(before)}")
        return model

    def _check_signature(self, path: Path, manifest: Manifest) -> None:
        if self._keys is None:
            return
        self._keys.check(path)
        signed = read_any_manifest(path).model_copy(update={"name": manifest.name, "version": manifest.version})
        if signed != manifest:
            raise BundleError(path / MANIFEST_FILE, "has been changed while it was loaded")

    def _weights_of(self, manifest: Manifest) -> PreparedWeights | None:
        """Bundles share weights if all their graphs are the same; names, words and settings may differ."""
        if self._prepared is None:
            return None
        graphs = sorted((name, entry.sha256) for name, entry in manifest.files.items() if ".onnx" in name)
        return PreparedWeights(self._prepared, repr(graphs))

    def stop(self) -> None:
        """Give up what is being loaded at its next stage, and load nothing more. Safe from any thread."""
        self._stops = True

    def _tell(self, line: str) -> None:
        if self._stops:
            raise Draining("the server is shutting down and loads no models")
        self._progress(line)
