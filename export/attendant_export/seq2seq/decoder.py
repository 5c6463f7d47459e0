"""The graph that answers: the decoder over its own cache and over what the encoder made of each sequence's source."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from attendant.bundle import Target

from attendant_export.decoders.layouts import outputs_of
from attendant_export.encoders.families import WRITTEN_OUT_AS_BART, bart_attention
from attendant_export.encoders.passes import bias_once
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.graph.hosts import split_skip_norms
from attendant_export.graph.kernels import Cache, CrossKernel, Kernel
from attendant_export.graph.nodes import Editor
from attendant_export.graph.passes import join_reshapes, rewrite
from attendant_export.graph.rotary import pack_attention_inputs
from attendant_export.progress import Step, no_step
from attendant_export.seq2seq.attention import Seq2SeqAttention
from attendant_export.seq2seq.layouts import seq2seq_layout
from attendant_export.tracing.attention import AttentionLayer
from attendant_export.tracing.methods import replaced
from attendant_export.tracing.positions import Positions, has_distances, told_distances, told_positions
from attendant_export.tracing.trace import fused_attention, trace_ports

_PROBE_TOKENS, _SEQUENCE = 4, 5  # sample sizes


@dataclass(frozen=True)
class TracedSeq2Seq:
    """The finished graph ``decoder`` in the model's dtype, and the layout of its attention calls over its cache and
    the source."""

    model: ir.Model
    layers: tuple[AttentionLayer, ...]
    cross_layers: tuple[AttentionLayer, ...]


def check_positions(model: Any, target: Target) -> None:
    """Refuses relative positions where no kernel has a place for them.

    Raises:
        UnsupportedModel: PagedAttention has none.
    """
    if target == "cuda" and has_distances(model.get_decoder()):
        reason = (
            "its decoder adds a bias of relative positions to its scores, for which PagedAttention, the kernel of "
            "target cuda, has no place; allowed: target cpu"
        )
        raise UnsupportedModel(str(model.config.model_type), reason)


def trace_seq2seq(model: Any, context_length: int, target: Target = "cpu", step: Step = no_step) -> TracedSeq2Seq:
    """Traces the decoder of ``model`` with its head, with fused attention, and rewrites the graph.

    Args:
        target: the provider that it is for, and so the layout of its caches.
        step: told what the trace is at.

    Raises:
        UnsupportedModel: the model does something that the graph has no place for.
        ToolchainError: torch or transformers are not the versions the exporter drives.
    """
    architecture = str(model.config.model_type)
    check_positions(model, target)
    attention, positions = Seq2SeqAttention(architecture), Positions()
    decoder = model.get_decoder()
    written_out = [module for module in decoder.modules() if type(module).__name__ in WRITTEN_OUT_AS_BART]
    with (
        failures_of(architecture),
        replaced((module, "forward", bart_attention(module, attention)) for module in written_out),
        fused_attention(model, attention, bypass=bool(written_out)),
        told_positions(decoder, positions),
        told_distances(decoder, positions, context_length),
    ):
        layers, cross_layers = _probe(model, attention, positions)
        layout = seq2seq_layout(target)
        inputs = layout.traced(min(_SEQUENCE, context_length), context_length)
        for cache, calls in zip(layout.caches, (layers, cross_layers), strict=True):
            inputs.add_cache(cache, calls, model.dtype)
        outputs = outputs_of(layout, len(layers), len(cross_layers))
        graph = trace_ports(layout.step(Seq2SeqStep(model, attention, positions)), inputs, outputs, target, step)
    # A half-precision head may share memory with the embedding table.
    rewrite(graph, context_length, layout, keep_tied=target == "cuda")
    editor = Editor(graph.graph)
    bias_once(editor)
    join_reshapes(editor)
    pack_attention_inputs(editor)
    split_skip_norms(editor)
    return TracedSeq2Seq(graph, layers, cross_layers)


class Seq2SeqStep(torch.nn.Module):  # type: ignore[misc]
    """One step of the decoder over its caches: tokens in; logits of chosen tokens and both kinds of caches out."""

    def __init__(self, model: Any, attention: Seq2SeqAttention, positions: Positions) -> None:
        super().__init__()
        self.model = model
        self.attention = attention
        self.positions = positions

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        logits_index: torch.Tensor,
        pasts: list[Cache],
        sources: list[Cache],
        kernel: Kernel,
        source_kernel: CrossKernel,
        kv_positions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, list[Cache], list[Cache]]:
        """Shapes and dtypes as in :class:`attendant.bundle.GeneratorManifest`."""

        def pick(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            # Choosing rows before the head keeps whatever the model does to its logits after it (a bias, for one).
            hidden, *rest = arguments
            return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, logits_index), *rest)

        self.positions.start(position_ids, kv_positions)
        self.attention.own.start_trace(position_ids, pasts, kernel)
        self.attention.start_trace(source_kernel, sources)
        handle = self.model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            logits = _run(self.model, input_ids).logits
        finally:
            handle.remove()
        return logits, self.attention.own.presents, self.attention.presents


def _run(model: Any, tokens: torch.Tensor) -> Any:
    """The model's output for tokens [batch, sequence] int64 at positions that it is told.

    The decoder makes keys and values of one position of nothing, and our attention reads those of the source.
    """
    from transformers.modeling_outputs import BaseModelOutput

    hidden = torch.zeros(tokens.shape[0], 1, model.config.hidden_size, dtype=model.dtype)
    takes = inspect.signature(model.forward).parameters
    keywords = {"decoder_position_ids": torch.zeros_like(tokens)} if "decoder_position_ids" in takes else {}
    outputs = BaseModelOutput(last_hidden_state=hidden)
    return model(decoder_input_ids=tokens, encoder_outputs=outputs, use_cache=False, **keywords)


def _probe(
    model: Any, attention: Seq2SeqAttention, positions: Positions
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
