"""Finds bundles, checks them, loads and warms them up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import MANIFEST_FILE, BundleManifest, read_manifest, verify_files
from attendant.core.errors import BundleError, ConfigurationError, ModelNotFound
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.chunking import ChunkRule, FixedCuts, FreeCuts
from attendant.engine.engine import Engine
from attendant.engine.scheduler import Scheduler, SchedulerLimits
from attendant.engine.slot_pool import SlotPool
from attendant.models.memory import KVBudget, available_processors, plan_kv_memory
from attendant.models.text import TextCodec
from attendant.runtime.invariance import prompt_runs_are_equal
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.session import open_session
from attendant.runtime.slot_runner import SlotRunner
from attendant.settings import EngineSettings

PROMPT_BUDGET = 256
"""Prompt tokens of a step besides a full batch of decodes, unless set otherwise."""

PROBE_TOKENS = 200
"""Length of the prompt that shows whether cuts change results: beyond the block sizes of the kernels in question."""

FIXED_CHUNK = 128
"""Distance of the cuts where they do. Matrix products gain nothing from longer chunks on a CPU."""


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
        cls, bundles: Sequence[Path], settings: EngineSettings, *, verify: bool, progress: Callable[[str], None]
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
        seen: dict[str, Path] = {}
        for path, manifest in found:
            if manifest.name in seen:
                raise BundleError(path, f"has the name {manifest.name!r}, which {seen[manifest.name]} has too")
            seen[manifest.name] = path
        models = {
            manifest.name: load_model(path, manifest, settings, len(found), verify=verify, progress=progress)
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
    verify: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> LoadedModel:
    """Load one bundle and run it once, so that the first request pays for nothing."""
    started = time.monotonic()
    if manifest.target != "cpu":
        raise BundleError(path / MANIFEST_FILE, f"is for target {manifest.target!r}; this server runs target 'cpu'")
    if verify:
        progress(f"{manifest.name}: checking {sum(f.size for f in manifest.files.values()) / 1e6:,.1f} MB of files")
        verify_files(path, manifest)
    threads = settings.threads or available_processors()
    budget = plan_kv_memory(manifest, settings, num_models)
    progress(f"{manifest.name}: loading {manifest.architecture} {manifest.precision}, {threads} threads")
    graph = path / manifest.graphs["decoder"].file
    session = open_session(graph, manifest.target, threads=threads, spinning=settings.spinning)
    buffers = SlotBuffers(manifest.kv_layers, max(settings.max_num_seqs, 2), budget.slot_length)
    runner = SlotRunner(session, manifest, buffers)
    try:
        rule = _chunk_rule(manifest, runner, buffers, budget)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(graph, f"the warm-up run failed: {error}") from error
    if isinstance(rule, FixedCuts):
        progress(f"{manifest.name}: results depend on the cuts of a prompt: always cut every {rule.multiple} tokens")
    model = LoadedModel(
        manifest=manifest,
        text=TextCodec.load(path, manifest),
        engines=(Engine(_make_scheduler(manifest, settings, budget, rule), runner),),
        context_length=budget.context_length,
        max_running=settings.max_num_seqs,
        max_requests=settings.max_num_seqs + settings.max_queue,
    )
    _warm_up(model)
    progress(
        f"{manifest.name}: ready in {time.monotonic() - started:.1f} s; context {budget.context_length:,} tokens, "
        f"KV cache {budget.capacity_tokens:,} tokens "
        f"({budget.capacity_tokens * manifest.kv_bytes_per_token() / 1e6:,.0f} MB at most)"
    )
    if budget.context_length < (settings.max_context_length or manifest.context_length):
        progress(f"{manifest.name}: the context length is cut to what the KV cache budget holds (engine.kv_memory)")
    return model


def _chunk_rule(manifest: BundleManifest, runner: SlotRunner, buffers: SlotBuffers, budget: KVBudget) -> ChunkRule:
    """Measure whether prompts may be cut freely; this is the first run of the model, too."""
    rule = FreeCuts(tuple({2 * layer.head_size for layer in manifest.kv_layers}))  # ONNX Runtime's tiles
    length = min(PROBE_TOKENS, budget.context_length - 1)
    whole, parts = rule.cuts(0, length, length), _small_cuts(rule, length)
    if prompt_runs_are_equal(runner, buffers, manifest.vocab_size, whole, parts):
        return rule
    return FixedCuts(FIXED_CHUNK)


def _small_cuts(rule: ChunkRule, length: int) -> list[int]:
    """Chunks of several lengths that together are ``length`` tokens."""
    parts: list[int] = []
    for budget in itertools.cycle((3, 31, 64)):
        parts += rule.cuts(sum(parts), length - sum(parts), budget)
        if sum(parts) == length:
            break
    return parts


def _make_scheduler(manifest: BundleManifest, settings: EngineSettings, budget: KVBudget, rule: ChunkRule) -> Scheduler:
    pool = SlotPool(
        settings.max_num_seqs,
        budget.slot_length,
        budget.capacity_tokens,
        page_tokens=budget.page_tokens,
        rule=rule,
        prefix_cache=settings.prefix_cache,
    )
    limits = SchedulerLimits(
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens or settings.max_num_seqs + PROMPT_BUDGET,
        context_length=budget.context_length,
        eos=manifest.special_tokens.eos,
        rule=rule,
    )
    return Scheduler(pool, limits)


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
