"""Finds bundles, checks them, loads and warms them up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import MANIFEST_FILE, BundleManifest, read_manifest, verify_files
from attendant.core.errors import BundleError, ConfigurationError, ModelNotFound
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.pages import load_pages
from attendant.models.slots import load_slots
from attendant.models.text import TextCodec
from attendant.settings import EngineSettings, GpuSettings


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


class ModelRepository:
    """The models of this server, by name."""

    def __init__(self, models: Mapping[str, LoadedModel]) -> None:
        self._models = dict(models)

    @classmethod
    def load(
        cls,
        bundles: Sequence[Path],
        settings: EngineSettings,
        *,
        gpu: GpuSettings | None = None,
        verify: bool,
        progress: Callable[[str], None],
    ) -> ModelRepository:
        """Load every bundle. Blocking: seconds for each.

        Args:
            bundles: bundle folders, or folders of bundle folders.
            verify: check each file's SHA-256.
            progress: takes a line for each stage.

        Raises:
            BundleError, ConfigurationError: naming the file or setting and the cause.
        """
        found = [(path, read_manifest(path)) for path in find_bundles(bundles)]
        _check_devices(found, gpu)
        seen: dict[str, Path] = {}
        for path, manifest in found:
            if manifest.name in seen:
                raise BundleError(path, f"has the name {manifest.name!r}, which {seen[manifest.name]} has too")
            seen[manifest.name] = path
        models = {
            manifest.name: load_model(path, manifest, settings, len(found), gpu=gpu, verify=verify, progress=progress)
            for path, manifest in found
        }
        return cls(models)

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._models.values())

    def get(self, name: str) -> LoadedModel:
        """The model called ``name``; an empty name means the only one.

        Raises:
            ModelNotFound: with the names that exist.
        """
        if not name and len(self._models) == 1:
            return next(iter(self._models.values()))
        try:
            return self._models[name]
        except KeyError:
            raise ModelNotFound(name, tuple(sorted(self._models))) from None


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


def _check_devices(found: Sequence[tuple[Path, BundleManifest]], gpu: GpuSettings | None) -> None:
    """GPUs that were asked for by name must have something to run."""
    if gpu is None or gpu.devices is None or any(manifest.cache_layout == "pages" for _, manifest in found):
        return
    path, manifest = found[0]
    raise ConfigurationError(
        f"gpu.devices names GPU {gpu.devices[0]}, but no bundle is for one: {path} is for target "
        f"{manifest.target!r}; export it with --target cuda"
    )


def _warm_up(model: LoadedModel) -> None:
    """One prefill and one decode of each engine: allocates arenas and finds a broken graph before a caller does."""
    prompt = (0,) * min(16, model.context_length - 1)
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    for engine in model.engines:
        engine.submit(Request("warm-up", prompt, params, time.monotonic_ns()))
        while engine.has_work:
            for event in engine.step().events:
                error = getattr(event, "error", None)
                if error is not None:
                    raise BundleError(model.name, f"the warm-up run failed: {error.__cause__ or error}")
