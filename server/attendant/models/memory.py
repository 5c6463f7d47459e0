"""How much KV cache a model gets, and what context length that allows."""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import GeneratorManifest
from attendant.core.errors import ConfigurationError
from attendant.models.ledger import Memory, Share
from attendant.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class KVBudget:
    """``capacity_tokens`` over all sequences, ``context_length`` of one, in positions; memory is counted in pages of
    ``page_tokens`` positions and a slot has ``slot_length`` of them."""

    capacity_tokens: int
    context_length: int
    page_tokens: int
    slot_length: int


def processor_memory(settings: EngineSettings) -> Memory:
    """The machine's memory, of which KV caches may take a part."""
    total = available_memory()
    return Memory("the CPU", total, int(total * settings.kv_memory_fraction))


def plan_kv_memory(manifest: GeneratorManifest, settings: EngineSettings, share: Share, max_num_seqs: int) -> KVBudget:
    """Share the memory of one model out to slots.

    The context length is the model's own, cut to what was asked for and to what fits the budget. An encoder-decoder's
    budget also holds the longest source in every slot.

    Raises:
        ConfigurationError: a context length beyond the model's, or a budget too small for a single page.
        MemoryTaken: it is too small because of what other models hold.
    """
    wanted = wanted_context_length(manifest, settings)
    budget, sources = share.num_bytes, source_memory(manifest, max_num_seqs)
    page = max([1] + [mmap.PAGESIZE // layer.head_bytes for layer in manifest.kv_layers])
    least = page * manifest.kv_bytes_per_token()
    share.check(sources + least)
    if sources and sources >= budget:
        raise ConfigurationError(
            f"the KV cache budget of model {manifest.name!r} is {budget:,} bytes; what its encoder makes of "
            f"{max_num_seqs} sources takes {sources:,} (set engine.kv_memory, or a lower engine.max_num_seqs)"
        )
    budget -= sources
    capacity = budget // manifest.kv_bytes_per_token() // page * page
    if capacity < page:
        raise ConfigurationError(
            f"the KV cache budget of model {manifest.name!r} is {budget:,} bytes; it needs at least "
            f"{least:,} (set engine.kv_memory)"
        )
    slot_length = -(-wanted // page) * page
    if slot_length > capacity:
        wanted = slot_length = capacity
    capacity = min(capacity, slot_length * max_num_seqs)
    return KVBudget(capacity, wanted, page, slot_length)


def source_memory(manifest: GeneratorManifest, max_num_seqs: int) -> int:
    """Bytes that the longest sources of so many sequences take; 0 for models that read none."""
    if manifest.encoder_input is None:
        return 0
    return max_num_seqs * manifest.encoder_input.max_length * manifest.source_bytes_per_token()


def wanted_context_length(manifest: GeneratorManifest, settings: EngineSettings) -> int:
    """What was asked for, or the model's own.

    Raises:
        ConfigurationError: it is beyond the model's.
    """
    wanted = settings.max_context_length or manifest.context_length
    if wanted > manifest.context_length:
        raise ConfigurationError(
            f"engine.max_context_length is {wanted}, but model {manifest.name!r} was made for "
            f"{manifest.context_length} tokens at most"
        )
    return wanted


def available_memory() -> int:
    """Bytes of memory of this machine, or of this container if it is limited to less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(limit)
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total


def available_processors() -> int:
    """Processors that this process may use, by affinity and by its container's quota."""
    allowed = len(os.sched_getaffinity(0))
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file() and (match := re.fullmatch(r"(\d+) (\d+)\s*", quota.read_text())):
        allowed = min(allowed, max(1, int(match[1]) // int(match[2])))
    return allowed
