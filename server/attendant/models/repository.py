"""The models of a server: loads every bundle, warms it up, and finds it by name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from attendant.bundle import BundleManifest, EncoderManifest, EncoderTask, verify_files
from attendant.core.errors import AttendantError, BundleError, EngineDead, InvalidRequest, ModelNotFound
from attendant.core.events import FailedEvent
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.discovery import discover
from attendant.models.encoders import LoadedEncoder, load_encoder
from attendant.models.failed import FailedModel, kind_of
from attendant.models.info import Kind
from attendant.models.pages import load_pages
from attendant.models.slots import load_slots
from attendant.models.sources import sample_source
from attendant.models.text import TextCodec
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle in memory, ready to generate.

    Attributes:
        engines: one for each device, all of the same bundle. They are not started: each needs a thread that owns it.
        max_running, max_requests: sequences that run, and that run or wait, in all engines together.
    """

    manifest: BundleManifest
    text: TextCodec
    engines: tuple[Engine, ...]
    context_length: int
    max_running: int
    max_requests: int

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name

    @property
    def kind(self) -> Kind:
        """What it does with what it is sent."""
        return kind_of(self.manifest)


class ModelRepository:
    """The models of this server, by name: those that generate, over which it iterates, those that encode, and those
    that failed, which count where a name is left out: an answer never comes from another model for that."""

    def __init__(
        self,
        models: Mapping[str, LoadedModel],
        encoders: Mapping[str, LoadedEncoder] | None = None,
        failed: Iterable[FailedModel] = (),
    ) -> None:
        self._models = dict(models)
        self._encoders = dict(encoders or {})
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
        repository = cls({})
        for failed in found.failed:
            repository.give_up(failed, strict=strict)
        num_models = sum(isinstance(manifest, BundleManifest) for _, manifest in found.bundles)
        first_gpu = gpu.devices[0] if gpu and gpu.devices else 0
        for path, manifest in found.bundles:
            try:
                if isinstance(manifest, EncoderManifest):
                    chosen = encoder or EncoderSettings()
                    repository._encoders[manifest.name] = load_encoder(
                        path, manifest, chosen, gpu_index=first_gpu, verify=verify, progress=progress
                    )
                else:
                    repository._models[manifest.name] = load_model(
                        path, manifest, settings, num_models, gpu=gpu, verify=verify, progress=progress
                    )
            except Exception as error:  # supervision point: a bundle's fault, of whatever kind, is its own
                repository.give_up(FailedModel.of(manifest.name, error, manifest), strict=strict)
        repository.check_some()
        return repository

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._models.values())

    @property
    def encoders(self) -> tuple[LoadedEncoder, ...]:
        """Every model that encodes."""
        return tuple(self._encoders.values())

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
        self._encoders.pop(failed.name, None)
        self._failed[failed.name] = failed

    def check_some(self) -> None:
        """Raises the error of the first model that failed if nothing is left to serve."""
        if self._failed and not self._models and not self._encoders:
            raise self.failed[0].error

    def get(self, name: str, kind: Kind = "continues") -> LoadedModel:
        """The model called ``name`` that generates; an empty name means the only one.

        Args:
            kind: of which an empty name means the only one. Of those that continue there may be none; then it is the
                only one that generates.

        Raises:
            ModelNotFound: with the names that exist.
            ModelFailed: it cannot be served.
            InvalidRequest: it encodes.
        """
        if not name:
            generating: list[LoadedModel | FailedModel] = [*self]
            generating += [model for model in self.failed if model.kind is not None]
            fitting = [model for model in generating if model.kind == kind]
            if kind == "continues" and not fitting:
                fitting = generating
            if len(fitting) == 1:
                return _served(fitting[0])
            if kind == "reads" and not fitting:
                raise self._not_found(name, "translate")
        if name in self._failed:
            raise self._failed[name].refusal()
        if name in self._encoders:
            raise _other_task(name, self._encoders[name].task, "generate", self._models)
        try:
            return self._models[name]
        except KeyError:
            raise self._not_found(name, None if self._models else "generate") from None

    def encoder(self, name: str, task: EncoderTask) -> LoadedEncoder:
        """The model called ``name``, which is for ``task``; an empty name means the only one that is.

        Raises:
            ModelNotFound: with the names that exist.
            ModelFailed: it cannot be served.
            InvalidRequest: it is for another task, or no name was given and several are for this one.
        """
        if name in self._failed:
            raise self._failed[name].refusal()
        known: list[LoadedEncoder | FailedModel] = [*self._encoders.values(), *self._failed.values()]
        fitting = {model.name: model for model in known if model.task == task}
        if name in fitting or (not name and len(fitting) == 1):
            return _served(fitting[name] if name else next(iter(fitting.values())))
        if not name and fitting:
            raise InvalidRequest("model", f"is empty; allowed, for task {task}: {_listed(fitting)}")
        if name in self._encoders:
            raise _other_task(name, self._encoders[name].task, task, fitting)
        if name in self._models:
            raise _other_task(name, "generate", task, fitting)
        raise self._not_found(name, task)

    def _not_found(self, name: str, task: str | None) -> ModelNotFound:
        return ModelNotFound(
            name, tuple(sorted((*self._models, *self._encoders))), task, failed=tuple(sorted(self._failed))
        )


def load_model(
    path: Path,
    manifest: BundleManifest,
    settings: EngineSettings,
    num_models: int = 1,
    *,
    gpu: GpuSettings | None = None,
    verify: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> LoadedModel:
    """Load one bundle and run it once, so that the first request pays for nothing.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause.
    """
    started = time.monotonic()
    if verify:
        progress(f"{manifest.name}: checking {sum(f.size for f in manifest.files.values()) / 1e6:,.1f} MB of files")
        verify_files(path, manifest)

    def tell(line: str) -> None:
        progress(f"{manifest.name}: {line}")

    if manifest.cache_layout == "pages":
        loaded = load_pages(path, manifest, settings, gpu or GpuSettings(), num_models, tell)
    else:
        loaded = load_slots(path, manifest, settings, num_models, tell)
    max_running = loaded.max_num_seqs * len(loaded.engines)
    model = LoadedModel(
        manifest=manifest,
        text=TextCodec.load(path, manifest),
        engines=loaded.engines,
        context_length=loaded.context_length,
        max_running=max_running,
        max_requests=max_running + settings.max_queue,
    )
    _warm_up(model)
    capacity = loaded.capacity_tokens * len(loaded.engines)
    tell(
        f"ready in {time.monotonic() - started:.1f} s; context {loaded.context_length:,} tokens, KV cache "
        f"{capacity:,} tokens ({capacity * manifest.kv_bytes_per_token() / 1e6:,.0f} MB at most)"
    )
    return model


M = TypeVar("M", LoadedModel, LoadedEncoder)


def _served(model: M | FailedModel) -> M:
    if isinstance(model, FailedModel):
        raise model.refusal()
    return model


def _other_task(name: str, task: str, needed: str, fitting: Iterable[str]) -> InvalidRequest:
    return InvalidRequest(
        "model", f"is {name!r}, which is for task {task}; allowed, for task {needed}: {_listed(fitting)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "no model of this server"


def _not_warm(model: LoadedModel, error: AttendantError) -> BundleError:
    return BundleError(model.name, f"the warm-up run failed: {error.__cause__ or error}")


def _warm_up(model: LoadedModel) -> None:
    """One prefill and one decode of each engine: allocates arenas and finds a broken graph before a caller does."""
    prompt = (0,) * min(16, model.context_length - 1)
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    source = sample_source(model.manifest)
    for engine in model.engines:
        engine.submit(Request("warm-up", prompt, params, time.monotonic_ns(), source=source))
        while engine.has_work:
            try:
                events = engine.step().events
            except EngineDead as error:
                raise _not_warm(model, error) from error
            for event in events:
                if isinstance(event, FailedEvent):
                    raise _not_warm(model, event.error) from event.error
