"""The attention functions of encoder-decoders: one for the graph that reads the source, one for the graph that answers.

A decoder's own attention is causal; whatever attention of it is not, looks at the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from attendant.bundle import Target

from attendant_export.encoders.attention import EncoderAttention, EncoderMask
from attendant_export.errors import UnsupportedModel
from attendant_export.graph.kernels import Cache, CrossKernel
from attendant_export.tracing.attention import (
    HEAD_MULTIPLE,
    AttentionLayer,
    AttentionTrace,
    MaskSpec,
    mask_kinds,
    widen,
)

_EVERYWHERE = "bidirectional_mask_function"


@dataclass
class SourceAttention(EncoderAttention):
    """The attention calls of an encoder; and, once it has run, of the decoder, of which only the keys and values of the
    source are wanted.

    Attributes:
        captured: per call of the decoder that looks at the source, keys and values, [batch, num_kv_heads, length,
            head_size]; None while the encoder runs.
    """

    captured: list[Cache] | None = None

    def start_capture(self) -> list[Cache]:
        """The next pass is the decoder's; gives the list that it fills."""
        self.captured = []
        return self.captured

    def start(self, *args: Any, **keywords: Any) -> None:
        """See :meth:`EncoderAttention.start`."""
        self.captured = None
        super().start(*args, **keywords)

    def attention_function(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: EncoderMask | torch.Tensor | None,
        *args: Any,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        """See :meth:`EncoderAttention.attention_function`."""
        if self.captured is None:
            return super().attention_function(module, query, key, value, attention_mask, *args, **keywords)
        if not (isinstance(attention_mask, EncoderMask) and attention_mask.causal):
            self.captured.append((key, value))
        batch, num_heads, sequence, _ = query.shape
        return query.new_zeros(batch, sequence, num_heads, value.shape[-1]), None


@dataclass
class Seq2SeqAttention:
    """The attention calls of a decoder that answers a source: first probed for their layout, then traced.

    Attributes:
        own: the causal calls, over the cache.
        layers: of the calls that look at the source, filled by the probe, in call order.
        kernel: makes their nodes; None while probing. sources: per call, keys and values. presents: what it gave back.
    """

    architecture: str
    own: AttentionTrace = field(init=False)
    layers: list[AttentionLayer] = field(default_factory=list)
    kernel: CrossKernel | None = None
    sources: list[Cache] = field(default_factory=list)
    presents: list[Cache] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.own = AttentionTrace(self.architecture)

    def start_probe(self, position_ids: torch.Tensor) -> None:
        """The next pass records the layout of its attention calls."""
        self.layers, self.kernel = [], None
        self.own.start_probe(position_ids)

    def start_trace(self, kernel: CrossKernel, sources: list[Cache]) -> None:
        """The next pass emits one fused node per attention call; ``own`` is to be started, too."""
        self.kernel, self.sources, self.presents = kernel, sources, []

    def attend_to_source(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """[batch, sequence, num_heads, value_size]; keys and values of the pass only tell their sizes."""
        key_size, value_size = key.shape[-1], value.shape[-1]
        if value_size != key_size:
            reason = f"its keys ({key_size} channels a head) and values ({value_size}) of the source differ in size"
            raise UnsupportedModel(self.architecture, reason)
        head_size = -(-key_size // HEAD_MULTIPLE) * HEAD_MULTIPLE
        batch, num_heads, sequence, _ = query.shape
        if self.kernel is None:
            self.layers.append(AttentionLayer(num_heads, key.shape[1], head_size, None))
            return query.new_zeros(batch, sequence, num_heads, value_size)
        index = len(self.presents)
        scale = key_size**-0.5 if scale is None else float(scale)
        output, present = self.kernel.emit(widen(query, head_size), scale, self.sources[index])
        self.presents.append(present)
        return output[..., :value_size] if value_size < head_size else output

    def attention_function(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: MaskSpec | torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        position_bias: torch.Tensor | None = None,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        """transformers' attention interface.

        Raises:
            UnsupportedModel: a mask or an argument that the fused kernel has no place for.
        """
        if attention_mask is None or (isinstance(attention_mask, MaskSpec) and _EVERYWHERE in attention_mask.kinds):
            return self.attend_to_source(query, key, value, scaling), None
        if position_bias is None:
            return self.own.attention_function(module, query, key, value, attention_mask, scaling, **keywords)
        window = self.own.window_of(attention_mask)
        return self.own.attend(query, key, value, scale=scaling, window=window, bias=position_bias), None

    def mask_function(self, *args: object, mask_function: Callable[..., object], **keywords: Any) -> MaskSpec:
        """transformers' mask interface: describes the mask in place of building it."""
        kinds = frozenset(mask_kinds(mask_function))
        if kinds == {_EVERYWHERE}:
            return MaskSpec(kinds)
        return self.own.mask_function(*args, mask_function=mask_function, **keywords)


def heads_of(cache: torch.Tensor, target: Target = "cpu") -> torch.Tensor:
    """[rows, num_kv_heads, length, size] -> [num_kv_heads, rows * length, head_size], which the kernels can read; for
    pages [rows * length, num_kv_heads, head_size]."""
    head_size = -(-cache.shape[-1] // HEAD_MULTIPLE) * HEAD_MULTIPLE
    heads = widen(cache, head_size)
    return heads.transpose(1, 2).flatten(0, 1) if target == "cuda" else heads.transpose(0, 1).flatten(1, 2)
