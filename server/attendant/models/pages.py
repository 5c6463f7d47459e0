"""Loads a bundle whose KV cache is in pages: an engine on each GPU, or on the processor for a reference bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from attendant.bundle import PAGED_RUN_TOKENS, GeneratorManifest
from attendant.core.errors import BundleError, ConfigurationError, DeviceOutOfMemory
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.models.engines import LoadedEngines, spare_seqs, token_budget
from attendant.models.ledger import Account, Share
from attendant.models.memory import available_processors, wanted_context_length
from attendant.models.page_memory import (
    PageBudget,
    block_size,
    check_sources,
    device_share,
    plan_blocks,
    prompt_area,
)
from attendant.models.sources import sample_source
from attendant.runtime.decode_graphs import GraphKeys
from attendant.runtime.devices import Device, open_device
from attendant.runtime.page_cache import PageCache, block_bytes
from attendant.runtime.page_runner import PageRunner, PageSessions
from attendant.runtime.run_error import RunError
from attendant.runtime.session import SessionOptions, Shared, open_session
from attendant.runtime.source_batches import SourceRow
from attendant.runtime.source_pages import SourcePages
from attendant.runtime.step_inputs import StepShape
from attendant.settings import EngineSettings, GpuSettings

MAX_NUM_SEQS = 256
"""Unless set otherwise."""

PROMPT_BUDGET = 2048
"""Prompt tokens of a step besides a full batch of decodes, unless set otherwise."""

HOST_NUM_SEQS, HOST_PROMPT_BUDGET = 16, 256
"""The same for the reference on a processor."""

SOURCE_NUM_SEQS, SOURCE_BUDGET = 64, 8192
"""The same for encoder-decoders on a GPU: each sequence has memory for the longest source, and what is encoded in a
step counts as prompt."""

ENCODER_BATCH, HOST_ENCODER_BATCH = SOURCE_BUDGET, 256
"""Positions of one run of the encoder, padding included."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is decided before anything is loaded."""

    context_length: int
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    num_rows: int  # with those of light tenants


def load_pages(
    path: Path,
    manifest: GeneratorManifest,
    settings: EngineSettings,
    gpu: GpuSettings,
    account: Account,
    progress: Tell,
    shared: Shared | None = None,
) -> LoadedEngines:
    """Open the graphs of the bundle at ``path`` on each device. ``shared``: on the processor, with other models.

    Raises:
        BundleError, ConfigurationError, DeviceOutOfMemory: naming the file or setting and the cause.
    """
    plan = _plan(manifest, settings, gpu)
    engines, budgets = [], []
    for index in gpu.devices or (0,):
        device = open_device(manifest.target, index)
        where = f"GPU {index}" if device.kind == "cuda" else "the processor, by reference functions: slow"
        progress(f"loading {manifest.architecture} {manifest.precision} on {where}")
        loader = _Loader(path, manifest, settings, gpu, plan, device, progress, shared)
        engine, budget = loader.load(account)
        engines.append(engine)
        budgets.append(budget)
    context = min(budget.context_length for budget in budgets)
    return LoadedEngines(tuple(engines), context, plan.max_num_seqs, min(budget.capacity_tokens for budget in budgets))


def _plan(manifest: GeneratorManifest, settings: EngineSettings, gpu: GpuSettings) -> _Plan:
    on_host = manifest.target == "cpu"
    num_seqs, prompt_budget = (HOST_NUM_SEQS, HOST_PROMPT_BUDGET) if on_host else (MAX_NUM_SEQS, PROMPT_BUDGET)
    if not on_host and manifest.encoder_input is not None:
        num_seqs, prompt_budget = SOURCE_NUM_SEQS, SOURCE_BUDGET
    max_num_seqs = settings.max_num_seqs or num_seqs
    num_tokens = token_budget(settings, max_num_seqs, prompt_budget)
    if num_tokens > (most := PAGED_RUN_TOKENS - spare_seqs(max_num_seqs)):
        raise ConfigurationError(
            f"engine.max_num_batched_tokens is {num_tokens}; {manifest.name!r}, a model in pages, takes {most} at most"
        )
    return _Plan(
        context_length=wanted_context_length(manifest, settings),
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=num_tokens,
        block_size=block_size(manifest, gpu),
        num_rows=max_num_seqs + spare_seqs(max_num_seqs),
    )


class _Loader:
    """Loads one bundle on one device."""

    def __init__(
        self,
        path: Path,
        manifest: GeneratorManifest,
        settings: EngineSettings,
        gpu: GpuSettings,
        plan: _Plan,
        device: Device,
        progress: Tell,
        shared: Shared | None,
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._settings = settings
        self._gpu = gpu
        self._plan = plan
        self._device = device
        self._progress = progress
        self._shared = shared

    @property
    def _options(self) -> SessionOptions:
        return SessionOptions(self._settings.threads or available_processors(), self._settings.spinning, self._shared)

    @property
    def _encoder_batch(self) -> int:
        return HOST_ENCODER_BATCH if self._device.kind == "cpu" else ENCODER_BATCH

    def load(self, account: Account) -> tuple[Engine, PageBudget]:
        """Open, measure what a step takes, give the rest to the KV cache, capture decode steps."""
        free_before, _ = self._device.free_memory()
        share = device_share(account, self._settings, self._gpu, self._device)
        sessions, capturing = self._open_to_capture() if self._gpu.cuda_graphs else (self._open(), False)
        sources = self._sources(share)
        self._measure(sessions, sources)
        budget = plan_blocks(
            self._manifest, self._settings, self._gpu, self._device, free_before, self._plan.block_size, share
        )
        own = free_before - self._device.free_memory()[0]
        cache = budget.num_blocks * block_bytes(self._manifest.kv_layers, budget.block_size)
        account.grant(share.memory, own + cache)
        if budget.context_length < self._plan.context_length:
            self._progress("the context length is cut to what the KV cache holds (gpu.memory_fraction, gpu.num_blocks)")
        on_prepare = partial(self._capture, self._keys(budget)) if capturing else lambda runner: None
        return Engine(self._scheduler(budget), self._runner(sessions, budget, sources, on_prepare)), budget

    def _open_to_capture(self) -> tuple[PageSessions, bool]:
        """Sessions whose runs can be captured, or, for a graph of which ONNX Runtime says it cannot be, others."""
        try:
            return self._open(cuda_graphs=True), True
        except BundleError as error:
            sessions = self._open()  # which raises if that is not the cause
            self._progress(f"decode steps run without CUDA graphs: {error}")
            return sessions, False

    def _open(self, *, cuda_graphs: bool = False) -> PageSessions:
        options, graphs = self._options, self._manifest.graphs
        captured = replace(options, cuda_graphs=cuda_graphs)
        return PageSessions(
            decoder=open_session(self._path / graphs["decoder"].file, captured, self._device),
            copy_blocks=open_session(self._path / graphs["copy_blocks"].file, options, self._device),
            pick_rows=open_session(self._path / graphs["pick_rows"].file, options, self._device),
        )

    def _sources(self, share: Share) -> SourcePages | None:
        """Memory of an encoder-decoder's sources, which is taken before the KV cache gets what is left."""
        manifest, plan = self._manifest, self._plan
        if manifest.encoder_input is None:
            return None
        check_sources(manifest, self._gpu, self._device, plan.block_size, plan.num_rows, share)
        return SourcePages(
            open_session(self._path / manifest.graphs["encoder"].file, self._options, self._device),
            manifest,
            self._device,
            num_rows=plan.num_rows,
            block_size=plan.block_size,
            batch_tokens=self._encoder_batch,
        )

    def _measure(self, sessions: PageSessions, sources: SourcePages | None) -> None:
        """Run the largest step once over a cache of next to nothing: ONNX Runtime keeps the memory it takes."""
        limits = self._limits(self._columns(self._plan.context_length))
        small = PageBudget(num_blocks=2, block_size=self._plan.block_size, context_length=self._plan.context_length)
        try:
            if sources is not None:
                sources.encode(self._largest_batch())
            self._runner(sessions, small, sources).warm_up(limits, self._plan.context_length)
        except RunError as error:
            graph = self._path / self._manifest.graphs["decoder"].file
            if self._device.kind == "cuda" and "allocate memory" in str(error):
                what = f"a step of {limits.num_tokens} tokens (engine.max_num_batched_tokens)"
                raise DeviceOutOfMemory(self._device.index, None, *self._device.free_memory(), what) from error
            raise BundleError(graph, f"the warm-up run failed: {error}") from error

    def _largest_batch(self) -> list[SourceRow]:
        """As many of the longest sources as the encoder reads at once."""
        source = sample_source(self._manifest, self._encoder_batch)
        assert source is not None
        number = min(max(self._encoder_batch // source.length, 1), self._plan.num_rows)
        return [SourceRow("warm-up", row, source) for row in range(number)]

    def _capture(self, keys: GraphKeys, runner: PageRunner) -> None:
        """Capture every decode shape, or none if one of them cannot be, or computes something else.

        To be called by the thread that runs: ONNX Runtime keeps captured runs by thread.
        """
        if not self._captured_all(keys, runner):
            runner.use(self._open())

    def _captured_all(self, keys: GraphKeys, runner: PageRunner) -> bool:
        on_gpu = self._device.kind == "cuda"
        for number, key in enumerate(keys):
            if on_gpu and number % 16 == 0:
                self._progress(f"capturing decode steps: {number} of {len(keys)}")
            try:
                equal = runner.capture(key, number + 1)
            except RunError as error:
                self._progress(f"decode steps run without CUDA graphs: capturing {key} failed: {error}")
                return False
            if not equal:
                self._progress(f"decode steps run without CUDA graphs: {key} computed something else once captured")
                return False
        return True

    def _runner(
        self,
        sessions: PageSessions,
        budget: PageBudget,
        sources: SourcePages | None,
        on_prepare: Callable[[PageRunner], None] = lambda runner: None,
    ) -> PageRunner:
        columns = self._columns(budget.context_length)
        cache = PageCache(
            self._manifest.kv_layers,
            self._device,
            sessions.copy_blocks,
            num_blocks=budget.num_blocks,
            block_size=budget.block_size,
            num_sequences=self._plan.num_rows,
            max_blocks=columns,
        )
        return PageRunner(
            sessions,
            self._manifest,
            cache,
            self._device,
            self._limits(columns),
            self._keys(budget),
            prompt_area(self._manifest),
            on_prepare,
            () if sources is None else (sources,),
        )

    def _scheduler(self, budget: PageBudget) -> Scheduler:
        pool = BlockPool(
            self._plan.num_rows,
            budget.num_blocks,
            budget.block_size,
            budget.context_length,
            prefix_cache=self._settings.prefix_cache,
        )
        limits = SchedulerLimits(
            max_num_seqs=self._plan.max_num_seqs,
            spare_seqs=spare_seqs(self._plan.max_num_seqs),
            max_num_batched_tokens=self._plan.max_num_batched_tokens,
            context_length=budget.context_length,
            eos=self._manifest.special_tokens.eos,
            rule=AnyCuts(),
        )
        return Scheduler(pool, limits)

    def _keys(self, budget: PageBudget) -> GraphKeys:
        return GraphKeys(self._plan.num_rows, self._columns(budget.context_length), budget.block_size)

    def _limits(self, columns: int) -> StepShape:
        rows, spare = self._plan.num_rows, self._plan.num_rows - self._plan.max_num_seqs
        return StepShape(rows, self._plan.max_num_batched_tokens + spare, rows, columns)

    def _columns(self, context_length: int) -> int:
        return -(-context_length // self._plan.block_size)
