"""A causal language model as a decoder graph: which inputs it has, how its cache is laid out, which logits it gives."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from attendant.bundle import ChangingFrequencies

from attendant_export.decoders.families import patched
from attendant_export.decoders.layouts import CacheLayout, SlotLayout, outputs_of
from attendant_export.decoders.rope import coded_frequencies, fixed_frequencies
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.graph.kernels import Cache, Kernel
from attendant_export.progress import Step, no_step
from attendant_export.tracing.attention import AttentionLayer, AttentionTrace
from attendant_export.tracing.positions import Positions, reserved_positions, told_positions
from attendant_export.tracing.trace import fused_attention, trace_ports

_PROBE_TOKENS = 4
_SEQUENCE = 5  # sample size of a trace


@dataclass(frozen=True)
class TracedDecoder:
    """The graph of a model in the model's dtype, with the layout of its attention calls."""

    model: ir.Model
    layers: tuple[AttentionLayer, ...]


def trace_decoder(
    model: Any,
    context_length: int,
    layout: CacheLayout | None = None,
    step: Step = no_step,
    changing: ChangingFrequencies | None = None,
) -> TracedDecoder:
    """Traces ``model`` (a transformers causal language model in eval mode) with fused attention.

    Args:
        layout: of the KV cache, and so the kind of fused node; slots by default.
        step: told what the trace is at.
        changing: how position_ids tell frequencies; without it those of the trained length hold.

    Raises:
        UnsupportedModel: the model does something that the decoder graph has no place for.
        ToolchainError: torch or transformers are not the versions the exporter drives.
    """
    architecture = str(model.config.model_type)
    layout = layout or SlotLayout()
    if model.get_output_embeddings() is None:
        raise UnsupportedModel(architecture, "it has no language-model head")
    trace = AttentionTrace(architecture, longest=context_length, step=step)
    with (
        failures_of(architecture),
        patched(model, trace) as bypass,
        fused_attention(model, trace, bypass),
        fixed_frequencies(model) if changing is None else coded_frequencies(model, changing),
    ):
        layers = probe(model, trace)
        inputs = layout.traced(min(_SEQUENCE, context_length), context_length)
        inputs.add_cache(layout.caches[0], layers, layout.cache_dtype(model.dtype))
        outputs = outputs_of(layout, len(layers))
        graph = trace_ports(layout.step(DecoderStep(model, trace)), inputs, outputs, layout.target, step)
    return TracedDecoder(graph, layers)


class DecoderStep(torch.nn.Module):  # type: ignore[misc]
    """One step of ``model`` over the cache: tokens in; logits of chosen tokens and the updated cache out."""

    def __init__(self, model: Any, trace: AttentionTrace) -> None:
        super().__init__()
        self.model = model
        self.trace = trace

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        logits_index: torch.Tensor,
        pasts: list[Cache],
        kernel: Kernel,
    ) -> tuple[torch.Tensor, list[Cache]]:
        """Shapes and dtypes as in :class:`attendant.bundle.GeneratorManifest`."""

        def pick(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            # Choosing rows before the head keeps whatever the model does to its logits after it (scaling, capping).
            hidden, *rest = arguments
            return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, logits_index), *rest)

        self.trace.start_trace(position_ids, pasts, kernel)
        handle = self.model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            logits = run(self.model, input_ids, position_ids).logits
        finally:
            handle.remove()
        return logits, self.trace.presents


def probe(model: Any, trace: AttentionTrace) -> tuple[AttentionLayer, ...]:
    """Runs a few tokens through the model, which calls ``trace``, and returns its attention calls.

    Raises:
        UnsupportedModel: no attention call came through the interface.
    """
    positions = torch.arange(_PROBE_TOKENS)[None]
    tokens = positions % model.config.get_text_config().vocab_size
    trace.start_probe(positions)
    with torch.no_grad():
        run(model, tokens, positions)
    if not trace.layers:
        raise UnsupportedModel(trace.architecture, "none of its layers uses transformers' attention interface")
    return tuple(trace.layers)


def run(model: Any, tokens: torch.Tensor, positions: torch.Tensor) -> Any:
    """The model's output for tokens at positions, both [batch, sequence] int64, which count from 0.

    A model that takes no positions counts for itself; what it looks up in its position table is then told.
    """
    if "position_ids" in inspect.signature(model.forward).parameters:
        reserved = reserved_positions(model)
        return model(input_ids=tokens, position_ids=positions + reserved if reserved else positions, use_cache=False)
    with told_positions(model, Positions(positions)):
        return model(input_ids=tokens, use_cache=False)
