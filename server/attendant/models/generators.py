"""Loads a bundle that generates: its words, an engine on each device, and a first run of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import Capability, GeneratorManifest, check_graph_files, verify_files
from attendant.core.answer_formats import NO_FORMATS, AnswerFormats
from attendant.core.attention import AttentionModel
from attendant.core.errors import AttendantError, BundleError, EngineDead
from attendant.core.events import FailedEvent
from attendant.core.fair_order import OrderRules
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.attention import attention_of
from attendant.models.ledger import Account
from attendant.models.memory import available_processors
from attendant.models.pages import load_pages
from attendant.models.slots import load_slots
from attendant.models.sources import sample_source
from attendant.models.text import TextCodec
from attendant.runtime.session import Shared
from attendant.settings import EngineSettings, GpuSettings


@dataclass(frozen=True, slots=True)
class GeneratorPart:
    """What generates of a model in memory.

    Attributes:
        engines: one for each device, all of the same bundle. They are not started: each needs a thread that owns it.
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

    if manifest.cache_layout == "pages":
        loaded = load_pages(path, manifest, settings, gpu or GpuSettings(), account, tell, shared)
    else:
        loaded = load_slots(path, manifest, settings, account, tell, shared)
    max_running = loaded.max_num_seqs * len(loaded.engines)
    model = GeneratorPart(
        manifest=manifest,
        text=TextCodec.load(path, manifest),
        engines=loaded.engines,
        context_length=loaded.context_length,
        max_running=max_running,
        max_requests=max_running + settings.max_queue,
        attention=attention_of(
            path, manifest, settings.threads or available_processors(), spinning=settings.spinning, shared=shared
        ),
        formats=settings.answer_formats(manifest.name, manifest.formats),
    )
    _warm_up(model)
    for engine in model.engines:
        engine.order_by(order or OrderRules())
    capacity = loaded.capacity_tokens * len(loaded.engines)
    tell(
        f"ready in {time.monotonic() - started:.1f} s; context {loaded.context_length:,} tokens, KV cache "
        f"{capacity:,} tokens ({capacity * manifest.kv_bytes_per_token() / 1e6:,.0f} MB at most)"
    )
    return model


def _not_warm(model: GeneratorPart, error: AttendantError) -> BundleError:
    return BundleError(model.name, f"the warm-up run failed: {error.__cause__ or error}")


def _warm_up(model: GeneratorPart) -> None:
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
