"""How the caches of a decoder that answers are laid out, its own and its sources', and which inputs its graph has
because of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from attendant.bundle import Target
from attendant.bundle.graph_io import (
    PAGE_CACHE,
    PAGE_SOURCE_CACHE,
    PAGE_SOURCES,
    PAGES,
    POSITIONS,
    SLOT_CACHE,
    SLOT_SOURCE_CACHE,
    SLOT_SOURCES,
    SLOTS,
    CachePorts,
    PageInputs,
    PageSourceInputs,
    Port,
    PositionInputs,
    SlotInputs,
    SlotSourceInputs,
    grouped,
    ports_of,
)

from attendant_export.decoders.layouts import GraphLayout, page_inputs, page_kernel, slot_inputs
from attendant_export.graph.kernels import Cache, PagedSourceKernel, SlotKernel, SourceKernel
from attendant_export.tracing.inputs import Feeds, NamedModule, TracedInputs


class Seq2SeqLayout(GraphLayout, Protocol):
    """A layout of the decoder's own cache, and of those of its sources."""

    def step(self, decoder: torch.nn.Module) -> NamedModule:
        """Wraps a :class:`~attendant_export.seq2seq.decoder.Seq2SeqStep` so that it takes the inputs and the caches."""
        ...

    def traced(self, sequence: int, context_length: int) -> TracedInputs:
        """The inputs of a trace besides the caches, for ``sequence`` positions."""
        ...


def seq2seq_layout(target: Target) -> Seq2SeqLayout:
    """The layout for a provider."""
    return PagedSeq2Seq() if target == "cuda" else SlotSeq2Seq()


@dataclass(frozen=True)
class SlotSeq2Seq:
    """Slots, and beside them slots of the keys and values of the calls that look at the source."""

    target: Target = "cpu"
    inputs: tuple[Port, ...] = ports_of(SLOTS, POSITIONS, SLOT_SOURCES)
    caches: tuple[CachePorts, ...] = (SLOT_CACHE, SLOT_SOURCE_CACHE)

    def step(self, decoder: torch.nn.Module) -> NamedModule:
        """See :meth:`Seq2SeqLayout.step`."""
        return _SlotStep(decoder)

    def traced(self, sequence: int, context_length: int) -> TracedInputs:
        """See :meth:`Seq2SeqLayout.traced`."""
        return slot_inputs(self.inputs, sequence, context_length)


@dataclass(frozen=True)
class PagedSeq2Seq:
    """Pages, and beside them pages of the keys and values of the calls that look at the source."""

    target: Target = "cuda"
    inputs: tuple[Port, ...] = ports_of(PAGES, PAGE_SOURCES)
    caches: tuple[CachePorts, ...] = (PAGE_CACHE, PAGE_SOURCE_CACHE)

    def step(self, decoder: torch.nn.Module) -> NamedModule:
        """See :meth:`Seq2SeqLayout.step`."""
        return _PageStep(decoder)

    def traced(self, sequence: int, context_length: int) -> TracedInputs:
        """See :meth:`Seq2SeqLayout.traced`."""
        return page_inputs(self.inputs, sequence, context_length)


class _SlotStep(NamedModule):
    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def compute(self, feeds: Feeds, *caches: list[Cache]) -> tuple[torch.Tensor, list[Cache], list[Cache]]:
        inputs: SlotInputs[torch.Tensor] = grouped(SlotInputs, feeds)
        positions: PositionInputs[torch.Tensor] = grouped(PositionInputs, feeds)
        sources: SlotSourceInputs[torch.Tensor] = grouped(SlotSourceInputs, feeds)
        logits, *presents = self.decoder(
            inputs.input_ids,
            inputs.position_ids,
            inputs.logits_index,
            *caches,
            SlotKernel(inputs.seqlens_k, inputs.total_sequence_length),
            SourceKernel(sources.source_seqlens, sources.source_total),
            kv_positions=positions.kv_positions,
        )
        return logits.float(), *presents


class _PageStep(NamedModule):
    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def compute(self, feeds: Feeds, *caches: list[Cache]) -> tuple[torch.Tensor, list[Cache], list[Cache]]:
        inputs: PageInputs[torch.Tensor] = grouped(PageInputs, feeds)
        sources: PageSourceInputs[torch.Tensor] = grouped(PageSourceInputs, feeds)
        source_kernel = PagedSourceKernel(
            sources.source_bounds,
            sources.source_past_seqlens,
            sources.source_block_table,
            sources.source_slot_mapping,
            sources.source_metadata,
        )
        logits, *presents = self.decoder(
            inputs.input_ids,
            inputs.position_ids,
            inputs.logits_index,
            *caches,
            *(page_kernel(inputs), source_kernel),
        )
        return logits, *presents
