"""How a KV cache is laid out, and which inputs a decoder graph has because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from attendant.bundle import Target

from attendant_export.graph.kernels import Cache, CacheScales, PageKernel, SlotKernel
from attendant_export.tracing.attention import AttentionLayer

# Sample sizes of a trace: all different and above 1, so that no dynamic size is taken for another or for a constant.
_BATCH, _MAX_LENGTH, _NUM_LOGITS = 2, 64, 3
_TOKENS, _SEQUENCES, _BLOCKS, _BLOCK_SIZE, _TABLE = 7, 4, 9, 16, 6


Dimensions = Mapping[str, tuple[str | None, ...]]

_SLOT_DIMENSIONS: Dimensions = {
    "input_ids": ("batch", "sequence"),
    "position_ids": ("batch", "sequence"),
    "seqlens_k": ("batch",),
    "total_sequence_length": (None,),
    "logits_index": ("num_logits",),
    "logits": ("num_logits", None),
}
_PAGE_DIMENSIONS: Dimensions = {
    "input_ids": (None, "num_tokens"),
    "position_ids": (None, "num_tokens"),
    "cumulative_sequence_length": ("num_sequences + 1",),
    "past_seqlens": ("num_sequences",),
    "block_table": ("num_sequences", "max_blocks"),
    "slot_mapping": ("num_tokens",),
    "attention_metadata": (None,),
    "logits_index": ("num_logits",),
    "logits": ("num_logits", None),
}


class GraphLayout(Protocol):
    """What a graph's inputs and outputs look like.

    Attributes:
        target: the provider it is for.
        inputs: names of the graph's inputs besides the caches.
        dimensions: of inputs and outputs besides the caches: a name for each size that varies, None for fixed ones.
        cache_dimensions: the same for every cache.
    """

    @property
    def target(self) -> Target: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def dimensions(self) -> Dimensions: ...
    @property
    def cache_dimensions(self) -> tuple[str | None, ...]: ...


class CacheLayout(GraphLayout, Protocol):
    """The layout of a decoder's cache."""

    def step(self, decoder: torch.nn.Module) -> torch.nn.Module:
        """Wraps a :class:`~attendant_export.decoders.decoder.DecoderStep` to take ``inputs`` and the caches."""
        ...

    def sample_inputs(self, layers: Sequence[AttentionLayer], sequence: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """Arguments to trace with."""
        ...

    def dynamic_shapes(self, num_layers: int, context_length: int) -> tuple[Any, ...]:
        """Which of their sizes vary, as torch.export wants it."""
        ...


class SlotLayout:
    """A slot of [num_kv_heads, max_length, head_size] per sequence; a run has rows of equal length."""

    target: Target = "cpu"
    inputs: tuple[str, ...] = ("input_ids", "position_ids", "seqlens_k", "total_sequence_length", "logits_index")
    dimensions = _SLOT_DIMENSIONS
    cache_dimensions = ("batch", None, "max_length", None)

    def step(self, decoder: torch.nn.Module) -> torch.nn.Module:
        """See :meth:`CacheLayout.step`."""
        return _SlotStep(decoder)

    def sample_inputs(self, layers: Sequence[AttentionLayer], sequence: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """See :meth:`CacheLayout.sample_inputs`."""
        return (
            torch.zeros(_BATCH, sequence, dtype=torch.int64),
            torch.arange(sequence).repeat(_BATCH, 1),
            torch.full((_BATCH,), sequence - 1, dtype=torch.int32),
            torch.tensor([sequence], dtype=torch.int32),
            torch.arange(_NUM_LOGITS),
            [_caches((_BATCH, layer.num_kv_heads, _MAX_LENGTH, layer.head_size), dtype) for layer in layers],
        )

    def dynamic_shapes(self, num_layers: int, context_length: int) -> tuple[Any, ...]:
        """See :meth:`CacheLayout.dynamic_shapes`."""
        batch, length = torch.export.Dim("batch"), torch.export.Dim("max_length")
        # Models with a position table index it by sequence: its size bounds the sequence.
        sequence = torch.export.Dim("sequence", max=context_length)
        tokens, cache = {0: batch, 1: sequence}, {0: batch, 2: length}
        rows = {0: torch.export.Dim("num_logits")}
        return (tokens, tokens, {0: batch}, {}, rows, [(cache, cache) for _ in range(num_layers)])


@dataclass(frozen=True)
class PageLayout:
    """Blocks of positions, [num_blocks, block_size, num_kv_heads, head_size], and a table of them per sequence; a run
    has the tokens of all sequences in one row. ``scales``: of an 8-bit cache, otherwise it has the model's dtype."""

    scales: CacheScales | None = None
    target: Target = "cuda"

    inputs = (
        "input_ids",
        "position_ids",
        "cumulative_sequence_length",
        "past_seqlens",
        "block_table",
        "slot_mapping",
        "attention_metadata",
        "logits_index",
    )
    dimensions = _PAGE_DIMENSIONS
    cache_dimensions = ("num_blocks", "block_size", None, None)

    def step(self, decoder: torch.nn.Module) -> torch.nn.Module:
        """See :meth:`CacheLayout.step`."""
        return _PageStep(decoder, self.scales)

    def sample_inputs(self, layers: Sequence[AttentionLayer], sequence: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """See :meth:`CacheLayout.sample_inputs`."""
        dtype = self.scales.dtype if self.scales is not None else dtype
        tokens = max(sequence, 2) + _TOKENS - 5
        return (
            torch.zeros(1, tokens, dtype=torch.int64),
            torch.arange(tokens)[None],
            torch.zeros(_SEQUENCES + 1, dtype=torch.int32),
            torch.zeros(_SEQUENCES, dtype=torch.int32),
            torch.zeros(_SEQUENCES, _TABLE, dtype=torch.int32),
            torch.zeros(tokens, dtype=torch.int32),
            torch.zeros(3, dtype=torch.int32),
            torch.arange(_NUM_LOGITS),
            [_caches((_BLOCKS, _BLOCK_SIZE, layer.num_kv_heads, layer.head_size), dtype) for layer in layers],
        )

    def dynamic_shapes(self, num_layers: int, context_length: int) -> tuple[Any, ...]:
        """See :meth:`CacheLayout.dynamic_shapes`."""
        dim = torch.export.Dim
        tokens, sequences = dim("num_tokens", max=context_length), dim("num_sequences")
        cache = {0: dim("num_blocks"), 1: dim("block_size")}
        return (
            {1: tokens},
            {1: tokens},
            {0: dim("num_boundaries")},
            {0: sequences},
            {0: sequences, 1: dim("max_blocks")},
            {0: tokens},
            {},
            {0: dim("num_logits")},
            [(cache, cache) for _ in range(num_layers)],
        )


class _SlotStep(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        seqlens_k: torch.Tensor,
        total_sequence_length: torch.Tensor,
        logits_index: torch.Tensor,
        pasts: list[Cache],
    ) -> tuple[torch.Tensor, list[Cache]]:
        kernel = SlotKernel(seqlens_k, total_sequence_length)
        logits, presents = self.decoder(input_ids, position_ids, logits_index, pasts, kernel)
        return logits.float(), presents


class _PageStep(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, decoder: torch.nn.Module, scales: CacheScales | None) -> None:
        super().__init__()
        self.decoder = decoder
        self.scales = scales

    def forward(  # noqa: PLR0913 - the inputs of a graph, by name
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cumulative_sequence_length: torch.Tensor,
        past_seqlens: torch.Tensor,
        block_table: torch.Tensor,
        slot_mapping: torch.Tensor,
        attention_metadata: torch.Tensor,
        logits_index: torch.Tensor,
        pasts: list[Cache],
    ) -> tuple[torch.Tensor, list[Cache]]:
        lengths = (cumulative_sequence_length, past_seqlens)
        kernel = PageKernel(*lengths, block_table, slot_mapping, attention_metadata, self.scales)
        logits, presents = self.decoder(input_ids, position_ids, logits_index, pasts, kernel)
        return logits, presents


def _caches(shape: tuple[int, ...], dtype: torch.dtype) -> Cache:
    return torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
