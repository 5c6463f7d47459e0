"""Loads the engines of a bundle that generates, and runs each once: in whatever process this is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from attendant.bundle import GeneratorManifest
from attendant.core.errors import AttendantError, BundleError, EngineDead
from attendant.core.events import FailedEvent
from attendant.core.fair_order import OrderRules
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.models.engines import LoadedEngines
from attendant.models.ledger import Account
from attendant.models.pages import load_pages
from attendant.models.slots import load_slots
from attendant.models.sources import sample_source
from attendant.runtime.session import Shared
from attendant.settings import EngineSettings, GpuSettings


def load_engines(
    path: Path,
    manifest: GeneratorManifest,
    settings: EngineSettings,
    gpu: GpuSettings,
    account: Account,
    progress: Callable[[str], None],
    shared: Shared | None = None,
    order: OrderRules | None = None,
) -> LoadedEngines:
    """Load the engines of the bundle at ``path`` and run each once, so that the first request pays for nothing.

    Args:
        order: in which requests have their turns; None: as they come, by the usual rules.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause.
    """
    if manifest.cache_layout == "pages":
        loaded = load_pages(path, manifest, settings, gpu, account, progress, shared)
    else:
        loaded = load_slots(path, manifest, settings, account, progress, shared)
    _warm_up(manifest, loaded)
    for engine in loaded.engines:
        engine.order_by(order or OrderRules())
    return loaded


def _not_warm(manifest: GeneratorManifest, error: AttendantError) -> BundleError:
    return BundleError(manifest.name, f"the warm-up run failed: {error.__cause__ or error}")


def _warm_up(manifest: GeneratorManifest, loaded: LoadedEngines) -> None:
    """One prefill and one decode of each engine: allocates arenas and finds a broken graph before a caller does."""
    prompt = (0,) * min(16, loaded.context_length - 1)
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    source = sample_source(manifest)
    for engine in loaded.engines:
        engine.submit(Request("warm-up", prompt, params, time.monotonic_ns(), source=source))
        while engine.has_work:
            try:
                events = engine.step().events
            except EngineDead as error:
                raise _not_warm(manifest, error) from error
            for event in events:
                if isinstance(event, FailedEvent):
                    raise _not_warm(manifest, event.error) from event.error
