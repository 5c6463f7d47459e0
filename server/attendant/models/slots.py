"""Loads a bundle whose KV cache is in slots: one engine on this machine's processors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import GeneratorManifest
from attendant.core.errors import BundleError
from attendant.core.frequencies import Frequencies
from attendant.engine.chunking import MIN_CHUNK, ChunkRule, FixedCuts, FreeCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from attendant.models.engines import LoadedEngines, spare_seqs, token_budget
from attendant.models.ledger import Account
from attendant.models.memory import (
    KVBudget,
    available_processors,
    plan_kv_memory,
    processor_memory,
    source_memory,
)
from attendant.runtime.invariance import prompt_runs_are_equal, riding_changes_nothing, shared_runs_are_equal
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.run_error import RunError
from attendant.runtime.session import SessionOptions, Shared, open_session
from attendant.runtime.slot_runner import SlotRunner
from attendant.runtime.source_slots import SourceSlots
from attendant.settings import EngineSettings

MAX_NUM_SEQS = 16
"""Unless set otherwise."""

PROMPT_BUDGET = 256
"""Prompt tokens of a step besides a full batch of decodes, unless set otherwise."""

SOURCE_BUDGET = 1024
"""The same for encoder-decoders: positions of sources that are encoded in a step. A longer one is encoded alone."""

ENCODER_BATCH = 2048
"""Positions of one run of the encoder, padding included."""

PROBE_TOKENS = 200
"""Length of the prompt that shows whether cuts change results: beyond the block sizes of the kernels in question."""

RUN_COST = 32
"""What a run costs, in tokens, besides those that it computes: the model's weights are read once. Measured."""

FIXED_CHUNK = 128
"""Distance of the cuts where they do. Matrix products gain nothing from longer chunks on a CPU."""


def load_slots(
    path: Path,
    manifest: GeneratorManifest,
    settings: EngineSettings,
    account: Account,
    progress: Callable[[str], None],
    shared: Shared | None = None,
) -> LoadedEngines:
    """Open the graph of the bundle at ``path`` and measure how its prompts may be cut. ``shared``: with other models.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause.
    """
    threads = settings.threads or available_processors()
    max_num_seqs = settings.max_num_seqs or MAX_NUM_SEQS
    num_rows = max_num_seqs + spare_seqs(max_num_seqs)
    num_slots = max(num_rows, 2)
    memory = processor_memory(settings)
    share = account.share(memory, settings.kv_memory)
    budget = plan_kv_memory(manifest, settings, share, num_rows)
    taken = budget.capacity_tokens * manifest.kv_bytes_per_token() + source_memory(manifest, num_rows)
    account.grant(memory, taken, settings.kv_memory)
    progress(f"loading {manifest.architecture} {manifest.precision}, {threads} threads")
    graph = path / manifest.graphs["decoder"].file
    prompt_graph = manifest.graphs.get("prompt")
    options = SessionOptions(threads, settings.spinning, shared)
    session = open_session(graph, options)
    prompts = open_session(path / prompt_graph.file, options) if prompt_graph else None
    buffers = SlotBuffers(manifest.kv_layers, num_slots, budget.slot_length)
    sources: SourceSlots | None = None
    if manifest.encoder_input is not None:
        encoder = open_session(path / manifest.graphs["encoder"].file, options)
        sources = SourceSlots(encoder, manifest, num_slots, manifest.encoder_input.max_length, ENCODER_BATCH)
    runner = SlotRunner(session, manifest, buffers, () if sources is None else (sources,), prompts)
    try:
        rule = _chunk_rule(manifest, runner, buffers, budget, sources)
        sharing = _sharing(manifest, runner, buffers, budget, rule)
    except RunError as error:
        raise BundleError(graph, f"the warm-up run failed: {error}") from error
    if isinstance(rule, FixedCuts):
        progress(f"results depend on the cuts of a prompt: always cut every {rule.multiple} tokens")
    if budget.context_length < (settings.max_context_length or manifest.context_length):
        progress("the context length is cut to what the KV cache budget holds (engine.kv_memory)")
    engine = Engine(_make_scheduler(manifest, settings, budget, rule, max_num_seqs, sharing), runner)
    return LoadedEngines((engine,), budget.context_length, max_num_seqs, budget.capacity_tokens)


def _chunk_rule(
    manifest: GeneratorManifest,
    runner: SlotRunner,
    buffers: SlotBuffers,
    budget: KVBudget,
    sources: SourceSlots | None,
) -> ChunkRule:
    """Measure whether prompts may be cut freely; this is the first run of the model, too."""
    rule = FreeCuts(tuple({2 * layer.head_size for layer in manifest.kv_layers}))  # ONNX Runtime's tiles
    length = min(PROBE_TOKENS, budget.context_length - 1)
    if sources is not None:
        length = sources.pretend(length)
    whole, parts = rule.cuts(0, length, length), _small_cuts(rule, length)
    equal = prompt_runs_are_equal(runner, buffers, manifest.vocab_size, whole, parts)
    if sources is not None:
        sources.pretend(1)  # what a row that is run for nothing attends to
    return rule if equal else FixedCuts(FIXED_CHUNK)


@dataclass(frozen=True, slots=True)
class _Sharing:
    """What may be in one run without changing a bit of it: chunks of several prompts; decodes beside them."""

    prompts: bool = False
    decodes: bool = False


def _sharing(
    manifest: GeneratorManifest, runner: SlotRunner, buffers: SlotBuffers, budget: KVBudget, rule: ChunkRule
) -> _Sharing:
    """Measure what may share runs, if the graph has them."""
    longer = min(PROBE_TOKENS, budget.context_length - 1) // 2
    if not runner.shares_runs or isinstance(rule, FixedCuts) or longer < 3 * MIN_CHUNK:
        return _Sharing()
    first, second = (rule.cuts(0, length, length)[0] for length in (longer, longer // 3))
    probe = runner, buffers, manifest.vocab_size, (first, second)
    if not shared_runs_are_equal(*probe):
        return _Sharing()
    return _Sharing(True, runner.decodes_ride and riding_changes_nothing(*probe))


def _small_cuts(rule: ChunkRule, length: int) -> list[int]:
    """Chunks of several lengths that together are ``length`` tokens."""
    parts: list[int] = []
    for budget in itertools.cycle((3, 31, 64)):
        parts += rule.cuts(sum(parts), length - sum(parts), budget)
        if sum(parts) == length:
            break
    return parts


def _make_scheduler(
    manifest: GeneratorManifest,
    settings: EngineSettings,
    budget: KVBudget,
    rule: ChunkRule,
    max_num_seqs: int,
    sharing: _Sharing,
) -> Scheduler:
    pool = SlotPool(
        max_num_seqs + spare_seqs(max_num_seqs),
        budget.slot_length,
        budget.capacity_tokens,
        page_tokens=budget.page_tokens,
        rule=rule,
        prefix_cache=settings.prefix_cache,
    )
    prompt_budget = PROMPT_BUDGET if manifest.encoder_input is None else SOURCE_BUDGET
    limits = SchedulerLimits(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=token_budget(settings, max_num_seqs, prompt_budget),
        context_length=budget.context_length,
        eos=manifest.special_tokens.eos,
        rule=rule,
        prompts_apart=not sharing.decodes,
        run_cost=RUN_COST if sharing.prompts else 0,
        spare_seqs=spare_seqs(max_num_seqs),
        frequencies=Frequencies(changing.kind, changing.after) if (changing := manifest.frequencies) else None,
    )
    return Scheduler(pool, limits)
