"""How the caches of a decoder that answers are laid out, its own and its sources', and which inputs its graph has
because of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from attendant.bundle import Target

from attendant_export.decoders.layouts import Dimensions, GraphLayout, PageLayout, SlotLayout
from attendant_export.graph.kernels import Cache, PagedSourceKernel, PageKernel, SlotKernel, SourceKernel
from attendant_export.seq2seq.encoder import output_names
from attendant_export.tracing.attention import AttentionLayer

Layers = Sequence[AttentionLayer]
_SOURCE, _TOTAL, _BLOCKS, _BLOCK_SIZE, _TABLE = 11, 13, 5, 16, 3  # sample sizes of a trace


class AnswerLayout(GraphLayout, Protocol):
    """A layout. ``sources``: names of the keys and values of the calls that look at the source, in order."""

    @property
    def sources(self) -> list[str]: ...

    def step(self, decoder: torch.nn.Module) -> torch.nn.Module:
        """Wraps an :class:`~attendant_export.seq2seq.decoder.AnswerStep` so that it takes ``inputs`` and the caches."""
        ...

    def sample_inputs(self, layers: Layers, cross_layers: Layers, sequence: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """Arguments to trace with."""
        ...

    def dynamic_shapes(self, num_layers: int, num_sources: int, context_length: int) -> tuple[Any, ...]:
        """Which of their sizes vary, as torch.export wants it."""
        ...


def answer_layout(target: Target, num_sources: int) -> AnswerLayout:
    """The layout for a provider."""
    return PagedAnswers(num_sources) if target == "cuda" else SlotAnswers(num_sources)


class SlotAnswers:
    """Slots, and beside them slots of the keys and values of ``num_sources`` calls that look at the source."""

    target: Target = "cpu"
    inputs: tuple[str, ...] = (*SlotLayout.inputs, "kv_positions", "source_seqlens", "source_total")
    cache_dimensions: tuple[str | None, ...] = SlotLayout.cache_dimensions

    def __init__(self, num_sources: int) -> None:
        self.sources = output_names(num_sources)
        lengths: Dimensions = {"kv_positions": ("total",), "source_seqlens": ("batch",), "source_total": (None,)}
        caches = _source_dimensions(self.sources, ("batch", None, "max_source", None))
        self.dimensions: Dimensions = {**SlotLayout.dimensions, **lengths, **caches}

    def step(self, decoder: torch.nn.Module) -> torch.nn.Module:
        """See :meth:`AnswerLayout.step`."""
        return _SlotStep(decoder)

    def sample_inputs(self, layers: Layers, cross_layers: Layers, sequence: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """See :meth:`AnswerLayout.sample_inputs`."""
        *inputs, pasts = SlotLayout().sample_inputs(layers, sequence, dtype)
        batch = len(inputs[0])
        sources = [_zeros((batch, layer.num_kv_heads, _SOURCE, layer.head_size), dtype) for layer in cross_layers]
        lengths = (torch.zeros(batch, dtype=torch.int32), torch.tensor([_SOURCE], dtype=torch.int32))
        return (*inputs, torch.arange(_TOTAL), *lengths, pasts, sources)

    def dynamic_shapes(self, num_layers: int, num_sources: int, context_length: int) -> tuple[Any, ...]:
        """See :meth:`AnswerLayout.dynamic_shapes`."""
        *inputs, pasts = SlotLayout().dynamic_shapes(num_layers, context_length)
        batch = inputs[0][0]
        cache = {0: batch, 2: torch.export.Dim("max_source")}
        return (*inputs, {0: torch.export.Dim("total")}, {0: batch}, {}, pasts, [(cache, cache)] * num_sources)


class PagedAnswers:
    """Pages, and beside them pages of the keys and values of ``num_sources`` calls that look at the source."""

    target: Target = "cuda"
    inputs: tuple[str, ...] = (
        *PageLayout.inputs,
        "source_bounds",
        "source_past_seqlens",
        "source_block_table",
        "source_slot_mapping",
        "source_metadata",
    )
    cache_dimensions: tuple[str | None, ...] = PageLayout.cache_dimensions

    def __init__(self, num_sources: int) -> None:
        self.sources = output_names(num_sources)
        lengths: Dimensions = {
            "source_bounds": ("num_tokens + 1",),
            "source_past_seqlens": ("num_tokens",),
            "source_block_table": ("num_tokens", "max_source_blocks"),
            "source_slot_mapping": ("num_tokens",),
            "source_metadata": (None,),
        }
        caches = _source_dimensions(self.sources, ("num_source_blocks", "block_size", None, None))
        self.dimensions: Dimensions = {**PageLayout.dimensions, **lengths, **caches}

    def step(self, decoder: torch.nn.Module) -> torch.nn.Module:
        """See :meth:`AnswerLayout.step`."""
        return _PageStep(decoder)

    def sample_inputs(self, layers: Layers, cross_layers: Layers, sequence: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """See :meth:`AnswerLayout.sample_inputs`."""
        *inputs, pasts = PageLayout().sample_inputs(layers, sequence, dtype)
        tokens = inputs[0].shape[1]
        sizes = ((tokens + 1,), (tokens,), (tokens, _TABLE), (tokens,), (3,))
        sources = [_zeros((_BLOCKS, _BLOCK_SIZE, layer.num_kv_heads, layer.head_size), dtype) for layer in cross_layers]
        return (*inputs, *(torch.zeros(size, dtype=torch.int32) for size in sizes), pasts, sources)

    def dynamic_shapes(self, num_layers: int, num_sources: int, context_length: int) -> tuple[Any, ...]:
        """See :meth:`AnswerLayout.dynamic_shapes`."""
        dim = torch.export.Dim
        *inputs, pasts = PageLayout().dynamic_shapes(num_layers, context_length)
        tokens = inputs[0][1]
        cache = {0: dim("num_source_blocks"), 1: dim("source_block_size")}
        lengths: tuple[dict[int, Any], ...] = (
            {0: dim("num_token_bounds")},
            {0: tokens},
            {0: tokens, 1: dim("max_source_blocks")},
            {0: tokens},
            {},
        )
        return (*inputs, *lengths, pasts, [(cache, cache)] * num_sources)


class _SlotStep(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(  # noqa: PLR0913 - the inputs of a graph, by name
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        seqlens_k: torch.Tensor,
        total_sequence_length: torch.Tensor,
        logits_index: torch.Tensor,
        kv_positions: torch.Tensor,
        source_seqlens: torch.Tensor,
        source_total: torch.Tensor,
        pasts: list[Cache],
        sources: list[Cache],
    ) -> tuple[torch.Tensor, list[Cache], list[Cache]]:
        kernels = SlotKernel(seqlens_k, total_sequence_length), SourceKernel(source_seqlens, source_total)
        logits, *presents = self.decoder(
            input_ids, position_ids, logits_index, pasts, sources, *kernels, kv_positions=kv_positions
        )
        return logits.float(), *presents


class _PageStep(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

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
        source_bounds: torch.Tensor,
        source_past_seqlens: torch.Tensor,
        source_block_table: torch.Tensor,
        source_slot_mapping: torch.Tensor,
        source_metadata: torch.Tensor,
        pasts: list[Cache],
        sources: list[Cache],
    ) -> tuple[torch.Tensor, list[Cache], list[Cache]]:
        lengths = (cumulative_sequence_length, past_seqlens)
        kernel = PageKernel(*lengths, block_table, slot_mapping, attention_metadata)
        source_lengths = (source_bounds, source_past_seqlens)
        source_kernel = PagedSourceKernel(*source_lengths, source_block_table, source_slot_mapping, source_metadata)
        logits, *presents = self.decoder(input_ids, position_ids, logits_index, pasts, sources, kernel, source_kernel)
        return logits, *presents


def _source_dimensions(sources: Sequence[str], dimensions: tuple[str | None, ...]) -> Dimensions:
    """Of the caches of sources, which come in and go out unchanged."""
    return dict.fromkeys([*sources, *(f"present_{name}" for name in sources)], dimensions)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Cache:
    return torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
