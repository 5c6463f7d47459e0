"""Loads a bundle that generates: its words, an engine on each device, and a first run of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import Capability, GeneratorManifest, check_graph_files, verify_files
from attendant.core.answer_formats import NO_FORMATS, AnswerFormats
from attendant.core.attention import AttentionModel
from attendant.core.fair_order import OrderRules
from attendant.engine.engine import Engine
from attendant.models.attention import attention_of
from attendant.models.engine_process import EngineOrder, EngineProcess, EnginesThere
from attendant.models.engines import LoadedEngines
from attendant.models.ledger import Account
from attendant.models.load_engines import load_engines
from attendant.models.memory import available_processors
from attendant.models.text import TextCodec
from attendant.runtime.session import Shared
from attendant.settings import EngineSettings, GpuSettings


@dataclass(frozen=True, slots=True)
class GeneratorPart:
    """What generates of a model in memory.

    Attributes:
        engines: one for each device, all of the same bundle. They are not started: each needs a thread that owns it.
            None here if they have a ``process`` of their own.
        max_running, max_requests: sequences that run, and that run or wait, in all engines together.
        attention: gives what its tokens look at; None if the bundle has no graph for that.
        formats: how it writes tool calls and reasoning.
    """

    manifest: GeneratorManifest
    text: TextCodec
    engines: tuple[Engine, ...]
    context_length: int
    max_running: int
    max_requests: int
    attention: AttentionModel | None = None
    formats: AnswerFormats = NO_FORMATS
    process: EngineProcess | None = None

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it can do."""
        return (*self.manifest.own_capabilities, *(() if self.attention is None else ("attention",)))


def load_generator(  # noqa: PLR0913 - all that a model is loaded with, each by name
    path: Path,
    manifest: GeneratorManifest,
    settings: EngineSettings,
    *,
    account: Account | None = None,
    gpu: GpuSettings | None = None,
    shared: Shared | None = None,
    verify: bool = True,
    progress: Callable[[str], None] = lambda line: None,
    order: OrderRules | None = None,
) -> GeneratorPart:
    """Load one bundle and run it once, so that the first request pays for nothing.

    Args:
        account: of the memory that other models hold; None: it is alone.
        shared: what it has of the processors, and of weights, together with others.
        order: of requests that wait; None: the default.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause.
    """
    started = time.monotonic()
    account = account or Account.alone(manifest.name)
    if verify:
        progress(f"{manifest.name}: checking {sum(f.size for f in manifest.files.values()) / 1e6:,.1f} MB of files")
        verify_files(path, manifest)
    check_graph_files(path, manifest)

    def tell(line: str) -> None:
        progress(f"{manifest.name}: {line}")

    text = TextCodec.load(path, manifest)
    loaded, process = _load_engines(
        path, manifest, settings, gpu or GpuSettings(), account, tell, shared, order or OrderRules()
    )
    max_running = loaded.max_num_seqs * loaded.num_engines
    model = GeneratorPart(
        manifest=manifest,
        text=text,
        engines=loaded.engines if isinstance(loaded, LoadedEngines) else (),
        context_length=loaded.context_length,
        max_running=max_running,
        max_requests=max_running + settings.max_queue,
        attention=attention_of(
            path, manifest, settings.threads or available_processors(), spinning=settings.spinning, shared=shared
        ),
        formats=settings.answer_formats(manifest.name, manifest.formats),
        process=process,
    )
    capacity = loaded.capacity_tokens * loaded.num_engines
    tell(
        f"ready in {time.monotonic() - started:.1f} s; context {loaded.context_length:,} tokens, KV cache "
        f"{capacity:,} tokens ({capacity * manifest.kv_bytes_per_token() / 1e6:,.0f} MB at most)"
    )
    return model


def _load_engines(
    path: Path,
    manifest: GeneratorManifest,
    settings: EngineSettings,
    gpu: GpuSettings,
    account: Account,
    tell: Callable[[str], None],
    shared: Shared | None,
    order: OrderRules,
) -> tuple[LoadedEngines | EnginesThere, EngineProcess | None]:
    """The engines, here or in a process of their own."""
    if not settings.process:
        return load_engines(path, manifest, settings, gpu, account, tell, shared, order), None
    prepared = shared.prepared if shared is not None else None
    process = EngineProcess(EngineOrder(path, manifest, settings, gpu, account, order, prepared), tell)
    return process.loaded, process
