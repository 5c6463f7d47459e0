"""A causal language model as a decoder graph: which inputs it has, how its cache is laid out, which logits it gives."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch

from attendant_export.attention import AttentionLayer, AttentionTrace
from attendant_export.errors import UnsupportedModel
from attendant_export.families import patched
from attendant_export.rope import fixed_frequencies
from attendant_export.trace import fused_attention, trace_to_onnx

_PROBE_TOKENS = 4
# Sample sizes of a trace: all different and above 1, so that no dynamic size is taken for another or for a constant.
_BATCH, _SEQUENCE, _MAX_LENGTH, _NUM_LOGITS = 2, 5, 64, 3
_TOKEN_INPUTS = ("input_ids", "position_ids", "seqlens_k", "total_sequence_length", "logits_index")


@dataclass(frozen=True)
class TracedDecoder:
    """The fp32 graph of a model, with the layout of its attention calls."""

    model: ir.Model
    layers: tuple[AttentionLayer, ...]


def trace_decoder(model: Any, context_length: int) -> TracedDecoder:
    """Traces ``model`` (a transformers causal language model, float32, in eval mode) with fused attention.

    Raises:
        UnsupportedModel: the model does something that the decoder graph has no place for.
        ToolchainError: torch or transformers are not the versions the exporter drives.
    """
    architecture = str(model.config.model_type)
    if model.get_output_embeddings() is None:
        raise UnsupportedModel(architecture, "it has no language-model head")
    trace = AttentionTrace(architecture)
    with (
        _failures_of(architecture),
        patched(model, trace) as bypass,
        fused_attention(model, trace, bypass),
        fixed_frequencies(model),
    ):
        layers = _probe(model, trace)
        wrapper = DecoderStep(model, trace).eval()
        count = len(layers)
        names = [f"{kind}_{index}" for index in range(count) for kind in ("past_key", "past_value")]
        graph = trace_to_onnx(
            wrapper,
            _sample_inputs(layers, min(_SEQUENCE, context_length)),
            _dynamic_shapes(count, context_length),
            [*_TOKEN_INPUTS, *names],
            ["logits", *(name.replace("past", "present") for name in names)],
        )
    return TracedDecoder(graph, layers)


@contextmanager
def _failures_of(architecture: str) -> Iterator[None]:
    """What modelling code, torch.export and torch.onnx raise over a model that cannot be traced, as one typed error."""
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), "") or "no message"
        raise UnsupportedModel(architecture, f"tracing failed: {type(error).__name__}: {reason}") from error


class DecoderStep(torch.nn.Module):  # type: ignore[misc]
    """One step of ``model`` over the cache: tokens in; logits of chosen tokens and the updated cache out."""

    def __init__(self, model: Any, trace: AttentionTrace) -> None:
        super().__init__()
        self.model = model
        self.trace = trace
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        seqlens_k: torch.Tensor,
        total_sequence_length: torch.Tensor,
        logits_index: torch.Tensor,
        pasts: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        """Shapes and dtypes as in :class:`attendant.bundle.BundleManifest`; logits [num_logits, vocab] float32."""

        def pick(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            # Choosing rows before the head keeps whatever the model does to its logits after it (scaling, capping).
            hidden, *rest = arguments
            return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, logits_index), *rest)

        self.trace.start_trace(position_ids, pasts, seqlens_k, total_sequence_length)
        positions = {"position_ids": position_ids} if self.takes_positions else {}
        handle = self.model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            logits = self.model(input_ids=input_ids, use_cache=False, **positions).logits
        finally:
            handle.remove()
        return logits.float(), self.trace.presents


def _probe(model: Any, trace: AttentionTrace) -> tuple[AttentionLayer, ...]:
    """Runs a few tokens through the model and returns its attention calls.

    Raises:
        UnsupportedModel: no attention call came through the interface.
    """
    positions = torch.arange(_PROBE_TOKENS)[None]
    tokens = positions % model.config.get_text_config().vocab_size
    trace.start_probe(positions)
    keywords = {"position_ids": positions} if "position_ids" in inspect.signature(model.forward).parameters else {}
    with torch.no_grad():
        model(input_ids=tokens, use_cache=False, **keywords)
    if not trace.layers:
        raise UnsupportedModel(trace.architecture, "none of its layers uses transformers' attention interface")
    return tuple(trace.layers)


def _sample_inputs(layers: tuple[AttentionLayer, ...], sequence: int) -> tuple[Any, ...]:
    def cache(layer: AttentionLayer) -> torch.Tensor:
        return torch.zeros(_BATCH, layer.num_kv_heads, _MAX_LENGTH, layer.head_size)

    return (
        torch.zeros(_BATCH, sequence, dtype=torch.int64),
        torch.arange(sequence).repeat(_BATCH, 1),
        torch.full((_BATCH,), sequence - 1, dtype=torch.int32),
        torch.tensor([sequence], dtype=torch.int32),
        torch.arange(_NUM_LOGITS),
        [(cache(layer), cache(layer)) for layer in layers],
    )


def _dynamic_shapes(num_layers: int, context_length: int) -> tuple[Any, ...]:
    batch, length = torch.export.Dim("batch"), torch.export.Dim("max_length")
    # Models with a position table index it by sequence: its size bounds the sequence.
    sequence = torch.export.Dim("sequence", max=context_length)
    tokens, cache = {0: batch, 1: sequence}, {0: batch, 2: length}
    rows = {0: torch.export.Dim("num_logits")}
    return (tokens, tokens, {0: batch}, {}, rows, [(cache, cache) for _ in range(num_layers)])
