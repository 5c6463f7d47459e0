"""Finds bundles, checks them, loads and warms them up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attendant.bundle import (
    MANIFEST_FILE,
    AudioSource,
    BundleManifest,
    EncoderManifest,
    EncoderTask,
    read_any_manifest,
    verify_files,
)
from attendant.core.errors import BundleError, ConfigurationError, InvalidRequest, ModelNotFound
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.encoders import LoadedEncoder, load_encoder
from attendant.models.pages import load_pages
from attendant.models.slots import load_slots
from attendant.models.sources import sample_source
from attendant.models.text import TextCodec
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings

Kind = Literal["continues", "reads", "hears"]
"""What a model that generates does with what it is sent: continue a prompt, or answer a text or a sound as a source."""


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
        source = self.manifest.encoder_input
        if source is None:
            return "continues"
        return "hears" if isinstance(source, AudioSource) else "reads"


class ModelRepository:
    """The models of this server, by name: those that generate, over which it iterates, and those that encode."""

    def __init__(self, models: Mapping[str, LoadedModel], encoders: Mapping[str, LoadedEncoder] | None = None) -> None:
        self._models = dict(models)
        self._encoders = dict(encoders or {})

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
    ) -> ModelRepository:
        """Load every bundle. Blocking: seconds for each.

        Args:
            bundles: bundle folders, or folders of bundle folders.
            settings, encoder: of models that generate, and of those that encode.
            verify: check each file's SHA-256.
            progress: takes a line for each stage.

        Raises:
            BundleError, ConfigurationError: naming the file or setting and the cause.
        """
        found = [(path, read_any_manifest(path)) for path in find_bundles(bundles)]
        _check_devices(found, gpu)
        _check_names(found)
        num_models = sum(isinstance(manifest, BundleManifest) for _, manifest in found)
        first_gpu = gpu.devices[0] if gpu and gpu.devices else 0
        models: dict[str, LoadedModel] = {}
        encoders: dict[str, LoadedEncoder] = {}
        for path, manifest in found:
            if isinstance(manifest, EncoderManifest):
                encoders[manifest.name] = load_encoder(
                    path, manifest, encoder or EncoderSettings(), gpu_index=first_gpu, verify=verify, progress=progress
                )
            else:
                models[manifest.name] = load_model(
                    path, manifest, settings, num_models, gpu=gpu, verify=verify, progress=progress
                )
        return cls(models, encoders)

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._models.values())

    @property
    def encoders(self) -> tuple[LoadedEncoder, ...]:
        """Every model that encodes."""
        return tuple(self._encoders.values())

    def get(self, name: str, kind: Kind = "continues") -> LoadedModel:
        """The model called ``name`` that generates; an empty name means the only one.

        Args:
            kind: of which an empty name means the only one. Of those that continue there may be none; then it is the
                only one that generates.

        Raises:
            ModelNotFound: with the names that exist.
            InvalidRequest: it encodes.
        """
        if not name:
            fitting = [model for model in self if model.kind == kind]
            if kind == "continues" and not fitting:
                fitting = list(self)
            if len(fitting) == 1:
                return fitting[0]
            if kind == "reads" and not fitting:
                raise self._not_found(name, "translate")
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
            InvalidRequest: it is for another task, or no name was given and several are for this one.
        """
        fitting = {model.name: model for model in self._encoders.values() if model.task == task}
        if name in fitting:
            return fitting[name]
        if not name and len(fitting) == 1:
            return next(iter(fitting.values()))
        if not name and fitting:
            raise InvalidRequest("model", f"is empty; allowed, for task {task}: {_listed(fitting)}")
        if name in self._encoders:
            raise _other_task(name, self._encoders[name].task, task, fitting)
        if name in self._models:
            raise _other_task(name, "generate", task, fitting)
        raise self._not_found(name, task)

    def _not_found(self, name: str, task: str | None) -> ModelNotFound:
        return ModelNotFound(name, tuple(sorted((*self._models, *self._encoders))), task)


def find_bundles(paths: Sequence[Path]) -> list[Path]:
    """The bundle folders that ``paths`` name: each is one, or holds some.

    Raises:
        ConfigurationError: none was named.
        BundleError: a path holds none.
    """
    if not paths:
        raise ConfigurationError("no bundle was named; make one with `attendant export`")
    found: list[Path] = []
    for path in paths:
        if (path / MANIFEST_FILE).exists() or not path.is_dir():
            found.append(path)
            continue
        inside = sorted(child.parent for child in path.glob(f"*/{MANIFEST_FILE}"))
        if not inside:
            raise BundleError(
                path, f"is no bundle and holds none: there is no {MANIFEST_FILE} in it or one level below"
            )
        found += inside
    return found


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


def _check_devices(found: Sequence[tuple[Path, BundleManifest | EncoderManifest]], gpu: GpuSettings | None) -> None:
    """GPUs that were asked for by name must have something to run."""
    if gpu is None or gpu.devices is None or any(_takes_devices(manifest) for _, manifest in found):
        return
    path, manifest = found[0]
    raise ConfigurationError(
        f"gpu.devices names GPU {gpu.devices[0]}, but no bundle is for one: {path} is for target "
        f"{manifest.target!r}; export it with --target cuda"
    )


def _takes_devices(manifest: BundleManifest | EncoderManifest) -> bool:
    if isinstance(manifest, EncoderManifest):
        return manifest.target == "cuda"
    return manifest.cache_layout == "pages"


def _check_names(found: Sequence[tuple[Path, BundleManifest | EncoderManifest]]) -> None:
    seen: dict[str, Path] = {}
    for path, manifest in found:
        if manifest.name in seen:
            raise BundleError(path, f"has the name {manifest.name!r}, which {seen[manifest.name]} has too")
        seen[manifest.name] = path


def _other_task(name: str, task: str, needed: str, fitting: Iterable[str]) -> InvalidRequest:
    return InvalidRequest(
        "model", f"is {name!r}, which is for task {task}; allowed, for task {needed}: {_listed(fitting)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "no model of this server"


def _warm_up(model: LoadedModel) -> None:
    """One prefill and one decode of each engine: allocates arenas and finds a broken graph before a caller does."""
    prompt = (0,) * min(16, model.context_length - 1)
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    source = sample_source(model.manifest)
    for engine in model.engines:
        engine.submit(Request("warm-up", prompt, params, time.monotonic_ns(), source=source))
        while engine.has_work:
            for event in engine.step().events:
                error = getattr(event, "error", None)
                if error is not None:
                    raise BundleError(model.name, f"the warm-up run failed: {error.__cause__ or error}")
