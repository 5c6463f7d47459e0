"""How many blocks of KV cache a model gets on a device, and what context length that allows."""

from __future__ import annotations

from dataclasses import dataclass

from attendant.bundle import GeneratorManifest
from attendant.core.errors import ConfigurationError, DeviceOutOfMemory
from attendant.models.ledger import Account, Memory, Share
from attendant.models.memory import processor_memory, wanted_context_length
from attendant.runtime.devices import Device
from attendant.runtime.page_cache import WORD, block_bytes
from attendant.settings import EngineSettings, GpuSettings

HOST_BLOCK_SIZE = 16
HOST_CONTEXTS = 2
"""Contexts that a reference on a processor has blocks for, unless set otherwise: each run copies all of them."""

_QUANTISED = ("int8", "float8e4m3fn")
_PROMPT_AREA = 65_536
_LEAST_BLOCK_SIZE = 16  # of PagedAttention on a GPU


@dataclass(frozen=True, slots=True)
class PageBudget:
    """``num_blocks`` blocks of ``block_size`` positions, the first of which is nobody's, and the context length."""

    num_blocks: int
    block_size: int
    context_length: int

    @property
    def capacity_tokens(self) -> int:
        """Positions over all sequences."""
        return (self.num_blocks - 1) * self.block_size


def block_size(manifest: GeneratorManifest, gpu: GpuSettings) -> int:
    """Positions of a block.

    ONNX Runtime's flash attention reads keys in tiles that must not cross a block: 256 positions for heads of up to 64
    channels, 128 up to 128; its decode kernels take multiples of 128.

    Raises:
        ConfigurationError: a size that the operator does not take.
    """
    size = gpu.block_size
    if manifest.target == "cpu":
        return _on_host(manifest, size or HOST_BLOCK_SIZE)
    if size is None:
        layers = (*manifest.kv_layers, *manifest.cross_layers)
        return 256 if any(layer.head_size <= 64 for layer in layers) else 128
    if size < _LEAST_BLOCK_SIZE or size & (size - 1):
        raise ConfigurationError(f"gpu.block_size is {size}; allowed: powers of two from {_LEAST_BLOCK_SIZE} on")
    return size


def _on_host(manifest: GeneratorManifest, size: int) -> int:
    """``size``, if the blocks of every layer are whole words, as they are copied."""
    for layer in manifest.kv_layers:
        if size * layer.num_kv_heads * layer.head_bytes % WORD:
            raise ConfigurationError(
                f"gpu.block_size is {size}; allowed for model {manifest.name!r}: multiples of {WORD}"
            )
    return size


def prompt_area(manifest: GeneratorManifest) -> int | None:
    """Positions, sequences times the longest, that a run with prompt tokens may have; None: any number.

    PagedAttention reads a quantised cache for prompts through an unquantised copy of so many positions.
    """
    quantised = any(layer.dtype in _QUANTISED for layer in manifest.kv_layers)
    return _PROMPT_AREA if quantised else None


def device_share(account: Account, settings: EngineSettings, gpu: GpuSettings, device: Device) -> Share:
    """A model's share of a GPU. A reference on a processor has blocks for a few contexts, whatever others hold.

    Raises:
        MemoryTaken: they hold everything.
    """
    if device.kind == "cpu":
        memory = processor_memory(settings)
        return Share(account.holder, memory, memory.pool)
    total = device.free_memory()[1]
    return account.share(Memory(f"GPU {device.index}", total, int(total * gpu.memory_fraction)))


def check_sources(
    manifest: GeneratorManifest, gpu: GpuSettings, device: Device, size: int, max_num_seqs: int, share: Share
) -> None:
    """Make sure that a GPU has room for what the encoder makes of so many sources, before it is taken.

    Args:
        size: positions of a block, of which each source has as many as the longest one fills.

    Raises:
        ConfigurationError: it would leave nothing of the model's share to the KV cache.
        MemoryTaken: it does not fit because of what other models hold.
    """
    if manifest.encoder_input is None or device.kind == "cpu":
        return
    positions = -(-manifest.encoder_input.max_length // size) * size
    needed = max_num_seqs * positions * manifest.source_bytes_per_token()
    share.check(needed + 1)
    if needed >= share.num_bytes:
        raise ConfigurationError(
            f"the share of model {manifest.name!r} in the memory of GPU {device.index} is {share.num_bytes:,} bytes; "
            f"what its encoder makes of {max_num_seqs} sources takes {needed:,} (set a lower engine.max_num_seqs, or a "
            "higher gpu.memory_fraction)"
        )


def plan_blocks(
    manifest: GeneratorManifest,
    settings: EngineSettings,
    gpu: GpuSettings,
    device: Device,
    free_before: int,
    size: int,
    share: Share,
) -> PageBudget:
    """Count the blocks that fit, now that the model, its largest step and its sources have their memory.

    Args:
        free_before: bytes that were free before the model was loaded. size: positions of a block.

    Raises:
        ConfigurationError: too few for the context length that was asked for.
        DeviceOutOfMemory: there is no room for a cache at all. MemoryTaken: because of what other models hold.
    """
    wanted = wanted_context_length(manifest, settings)
    needed = 1 + -(-wanted // size)
    if gpu.num_blocks is not None:
        num_blocks = gpu.num_blocks
    elif device.kind == "cpu":
        num_blocks = 1 + HOST_CONTEXTS * (needed - 1)
    else:
        num_blocks = _fitting(manifest, gpu, device, free_before, size, share)
    context = min(wanted, (num_blocks - 1) * size)
    if context < wanted and (settings.max_context_length is not None or gpu.num_blocks is not None):
        raise ConfigurationError(
            f"the KV cache of model {manifest.name!r} has {num_blocks} blocks of {size} positions; a context of "
            f"{wanted} tokens needs {needed} (one stays unused): set engine.max_context_length to at most {context}, "
            "or raise gpu.num_blocks or gpu.memory_fraction"
        )
    return PageBudget(num_blocks, size, context)


def _fitting(
    manifest: GeneratorManifest, gpu: GpuSettings, device: Device, free_before: int, size: int, share: Share
) -> int:
    free, total = device.free_memory()
    own = free_before - free  # weights and runs
    budget = min(share.num_bytes - own, free - int(total * (1 - gpu.memory_fraction)))
    each = block_bytes(manifest.kv_layers, size)
    share.check(own + 2 * each)
    if budget < 2 * each:
        purpose = f"the KV cache of model {manifest.name!r} (gpu.memory_fraction {gpu.memory_fraction:g})"
        raise DeviceOutOfMemory(device.index, 2 * each, max(budget, 0), total, purpose)
    return budget // each
