"""How a KV cache is laid out, and which inputs a decoder graph has because of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from attendant.bundle import Target
from attendant.bundle.graph_io import (
    LOGITS,
    PAGE_CACHE,
    PAGES,
    SLOT_CACHE,
    SLOTS,
    CachePorts,
    PageInputs,
    Port,
    SlotInputs,
    grouped,
    ports_of,
)

from attendant_export.graph.kernels import Cache, CacheScales, PageKernel, SlotKernel
from attendant_export.tracing.inputs import Feeds, NamedModule, TracedInputs

# Sample sizes of a trace, by the names of what varies: above 1, so that none is taken for a constant.
SLOT_SIZES = {"batch": 2, "max_length": 64, "num_logits": 3, "total": 13, "max_source": 11}
PAGE_SIZES = {
    **{"num_sequences": 4, "num_blocks": 9, "block_size": 16, "max_blocks": 6, "num_logits": 3},
    **{"num_source_blocks": 5, "max_source_blocks": 3},
}
_MORE_TOKENS = 2  # of pages, than a sample has positions


class GraphLayout(Protocol):
    """What a decoder graph takes and gives, as it is traced.

    Attributes:
        target: the provider it is for.
        inputs: besides the caches, in order. caches: after them.
    """

    @property
    def target(self) -> Target: ...
    @property
    def inputs(self) -> tuple[Port, ...]: ...
    @property
    def caches(self) -> tuple[CachePorts, ...]: ...


class CacheLayout(GraphLayout, Protocol):
    """The layout of a decoder's cache."""

    def step(self, decoder: torch.nn.Module) -> NamedModule:
        """Wraps a :class:`~attendant_export.decoders.decoder.DecoderStep` so that it takes the inputs and the
        caches."""
        ...

    def traced(self, sequence: int, context_length: int) -> TracedInputs:
        """The inputs of a trace besides the caches, for ``sequence`` positions."""
        ...

    def cache_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The type of the caches of a model of this type."""
        ...


@dataclass(frozen=True)
class SlotLayout:
    """A slot of [num_kv_heads, max_length, head_size] per sequence; a run has rows of equal length."""

    target: Target = "cpu"
    inputs: tuple[Port, ...] = ports_of(SLOTS)
    caches: tuple[CachePorts, ...] = (SLOT_CACHE,)

    def step(self, decoder: torch.nn.Module) -> NamedModule:
        """See :meth:`CacheLayout.step`."""
        return _SlotStep(decoder)

    def traced(self, sequence: int, context_length: int) -> TracedInputs:
        """See :meth:`CacheLayout.traced`."""
        return slot_inputs(self.inputs, sequence, context_length)

    def cache_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """See :meth:`CacheLayout.cache_dtype`."""
        return dtype


@dataclass(frozen=True)
class PageLayout:
    """Blocks of positions, [num_blocks, block_size, num_kv_heads, head_size], and a table of them per sequence; a run
    has the tokens of all sequences in one row. ``scales``: of an 8-bit cache, otherwise it has the model's dtype."""

    scales: CacheScales | None = None
    target: Target = "cuda"
    inputs: tuple[Port, ...] = ports_of(PAGES)
    caches: tuple[CachePorts, ...] = (PAGE_CACHE,)

    def step(self, decoder: torch.nn.Module) -> NamedModule:
        """See :meth:`CacheLayout.step`."""
        return _PageStep(decoder, self.scales)

    def traced(self, sequence: int, context_length: int) -> TracedInputs:
        """See :meth:`CacheLayout.traced`."""
        return page_inputs(self.inputs, sequence, context_length)

    def cache_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """See :meth:`CacheLayout.cache_dtype`."""
        return self.scales.dtype if self.scales is not None else dtype


def slot_inputs(ports: Sequence[Port], sequence: int, context_length: int) -> TracedInputs:
    """A trace over slots. Models with a position table index it by sequence: its size bounds the sequence."""
    return _traced(ports, TracedInputs({**SLOT_SIZES, "sequence": sequence}, {"sequence": context_length}))


def page_inputs(ports: Sequence[Port], sequence: int, context_length: int) -> TracedInputs:
    """A trace over pages."""
    sizes = {**PAGE_SIZES, "num_tokens": max(sequence, 2) + _MORE_TOKENS}
    return _traced(ports, TracedInputs(sizes, {"num_tokens": context_length}))


def _traced(ports: Sequence[Port], traced: TracedInputs) -> TracedInputs:
    for port in ports:
        traced.add(port)
    return traced


def outputs_of(layout: GraphLayout, *counts: int) -> list[str]:
    """Names of what the graph gives, with so many calls over each of its caches."""
    presents = [cache.present.names(count) for cache, count in zip(layout.caches, counts, strict=True)]
    return [LOGITS.name, *(name for names in presents for name in names)]


class _SlotStep(NamedModule):
    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def compute(self, feeds: Feeds, *caches: list[Cache]) -> tuple[torch.Tensor, list[Cache]]:
        inputs: SlotInputs[torch.Tensor] = grouped(SlotInputs, feeds)
        kernel = SlotKernel(inputs.seqlens_k, inputs.total_sequence_length)
        logits, presents = self.decoder(inputs.input_ids, inputs.position_ids, inputs.logits_index, *caches, kernel)
        return logits.float(), presents


class _PageStep(NamedModule):
    def __init__(self, decoder: torch.nn.Module, scales: CacheScales | None) -> None:
        super().__init__()
        self.decoder = decoder
        self.scales = scales

    def compute(self, feeds: Feeds, *caches: list[Cache]) -> tuple[torch.Tensor, list[Cache]]:
        inputs: PageInputs[torch.Tensor] = grouped(PageInputs, feeds)
        kernel = page_kernel(inputs, self.scales)
        logits, presents = self.decoder(inputs.input_ids, inputs.position_ids, inputs.logits_index, *caches, kernel)
        return logits, presents


def page_kernel(inputs: PageInputs[torch.Tensor], scales: CacheScales | None = None) -> PageKernel:
    """The kernel of a run over pages."""
    return PageKernel(
        inputs.cumulative_sequence_length,
        inputs.past_seqlens,
        inputs.block_table,
        inputs.slot_mapping,
        inputs.attention_metadata,
        scales,
    )
