"""The graph that answers: the decoder over its own cache and over what the encoder made of each row's source."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch

from attendant_export.attention import AttentionLayer
from attendant_export.encoders.passes import bias_once, split_skip_norms
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.graph import Editor
from attendant_export.kernels import Cache, SlotKernel, SourceKernel
from attendant_export.layouts import Dimensions, SlotLayout
from attendant_export.passes import join_reshapes, rewrite
from attendant_export.rotary import pack_attention_inputs
from attendant_export.seq2seq.attention import AnswerAttention
from attendant_export.seq2seq.encoder import output_names
from attendant_export.seq2seq.positions import Positions, told_distances, told_positions
from attendant_export.trace import fused_attention, trace_to_onnx

_PROBE_TOKENS, _SEQUENCE, _SOURCE, _TOTAL = 4, 5, 11, 13  # sample sizes, all different
_SOURCE_CACHE = ("batch", None, "max_source", None)


@dataclass(frozen=True)
class TracedAnswer:
    """The finished float32 graph ``decoder``, and the layout of its attention calls over its cache and the source."""

    model: ir.Model
    layers: tuple[AttentionLayer, ...]
    cross_layers: tuple[AttentionLayer, ...]


class AnswerLayout(SlotLayout):
    """Slots, and beside them the keys and values of ``num_sources`` calls that look at the source."""

    inputs = (*SlotLayout.inputs, "kv_positions", "source_seqlens", "source_total")

    def __init__(self, num_sources: int) -> None:
        self.sources = output_names(num_sources)
        names = [*self.sources, *(f"present_{name}" for name in self.sources)]
        lengths: Dimensions = {"kv_positions": ("total",), "source_seqlens": ("batch",), "source_total": (None,)}
        self.dimensions = {**SlotLayout.dimensions, **lengths, **dict.fromkeys(names, _SOURCE_CACHE)}


def trace_answer(model: Any, context_length: int) -> TracedAnswer:
    """Traces the decoder of ``model`` with its head, with fused attention, and rewrites the graph.

    Raises:
        UnsupportedModel: the model does something that the graph has no place for.
        ToolchainError: torch or transformers are not the versions the exporter drives.
    """
    architecture = str(model.config.model_type)
    attention, positions = AnswerAttention(architecture), Positions()
    decoder = model.get_decoder()
    with (
        failures_of(architecture),
        fused_attention(model, attention, bypass=False),
        told_positions(decoder, positions),
        told_distances(decoder, positions, context_length),
    ):
        layers, cross_layers = _probe(model, attention, positions)
        layout = AnswerLayout(len(cross_layers))
        names = [f"{kind}_{index}" for index in range(len(layers)) for kind in ("past_key", "past_value")]
        graph = trace_to_onnx(
            _AnswerStep(model, attention, positions).eval(),
            _sample_inputs(layers, cross_layers, min(_SEQUENCE, context_length)),
            _dynamic_shapes(len(layers), len(cross_layers), context_length),
            [*layout.inputs, *names, *layout.sources],
            [
                *("logits", *(name.replace("past", "present") for name in names)),
                *(f"present_{name}" for name in layout.sources),
            ],
        )
    rewrite(graph, context_length, layout)
    editor = Editor(graph.graph)
    bias_once(editor)
    join_reshapes(editor)
    pack_attention_inputs(editor)
    split_skip_norms(editor)
    return TracedAnswer(graph, layers, cross_layers)


class _AnswerStep(torch.nn.Module):  # type: ignore[misc]
    """One step over the cache; inputs and outputs as :class:`attendant.bundle.BundleManifest` has them."""

    def __init__(self, model: Any, attention: AnswerAttention, positions: Positions) -> None:
        super().__init__()
        self.model = model
        self.attention = attention
        self.positions = positions

    def forward(
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
        def pick(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            # Choosing rows before the head keeps whatever the model does to its logits after it (a bias, for one).
            hidden, *rest = arguments
            return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, logits_index), *rest)

        self.positions.start(position_ids, kv_positions)
        self.attention.own.start_trace(position_ids, pasts, SlotKernel(seqlens_k, total_sequence_length))
        self.attention.start_trace(SourceKernel(source_seqlens, source_total), sources)
        handle = self.model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            logits = _run(self.model, input_ids).logits
        finally:
            handle.remove()
        return logits.float(), self.attention.own.presents, self.attention.presents


def _run(model: Any, tokens: torch.Tensor) -> Any:
    """The model's output for tokens [batch, sequence] int64 at positions that it is told.

    The decoder makes keys and values of one position of nothing, and our attention reads those of the source.
    """
    hidden = torch.zeros(tokens.shape[0], 1, model.config.hidden_size)
    takes = inspect.signature(model.forward).parameters
    keywords = {"decoder_position_ids": torch.zeros_like(tokens)} if "decoder_position_ids" in takes else {}
    return model(decoder_input_ids=tokens, encoder_outputs=(hidden,), use_cache=False, **keywords)


def _probe(
    model: Any, attention: AnswerAttention, positions: Positions
) -> tuple[tuple[AttentionLayer, ...], tuple[AttentionLayer, ...]]:
    """The attention calls of the decoder over its cache and over the source.

    Raises:
        UnsupportedModel: none of either kind came through the interface.
    """
    ids = torch.arange(_PROBE_TOKENS)[None]
    positions.start(ids, ids[0])
    attention.start_probe(ids)
    with torch.no_grad():
        _run(model, ids)
    if not attention.own.layers or not attention.layers:
        reason = "its decoder does not look at its source through transformers' attention interface"
        raise UnsupportedModel(attention.architecture, reason)
    return tuple(attention.own.layers), tuple(attention.layers)


def _sample_inputs(
    layers: Sequence[AttentionLayer], cross_layers: Sequence[AttentionLayer], sequence: int
) -> tuple[Any, ...]:
    *inputs, pasts = SlotLayout().sample_inputs(layers, sequence, torch.float32)
    batch = len(inputs[0])
    sources = [torch.zeros(batch, layer.num_kv_heads, _SOURCE, layer.head_size) for layer in cross_layers]
    lengths = (torch.zeros(batch, dtype=torch.int32), torch.tensor([_SOURCE], dtype=torch.int32))
    return (*inputs, torch.arange(_TOTAL), *lengths, pasts, [(tensor, tensor.clone()) for tensor in sources])


def _dynamic_shapes(num_layers: int, num_sources: int, context_length: int) -> tuple[Any, ...]:
    *inputs, pasts = SlotLayout().dynamic_shapes(num_layers, context_length)
    batch = inputs[0][0]
    cache = {0: batch, 2: torch.export.Dim("max_source")}
    return (*inputs, {0: torch.export.Dim("total")}, {0: batch}, {}, pasts, [(cache, cache)] * num_sources)
