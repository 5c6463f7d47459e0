"""The fused attention nodes of ONNX Runtime over caches: for slots and for pages, of a decoder and of its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

Cache = tuple[torch.Tensor, torch.Tensor]  # keys and values, in the layout of a kernel

# A sink that takes no probability. It keeps ONNX Runtime's CPU kernel off its flash path, which shares one row among
# idle threads and tiles by 64 tokens: there a result depends on the batch and on how a prompt was cut. The other path
# is as fast here, and exact. Soft-capped attention never takes the flash path.
_NO_SINK = -1e30


@dataclass(frozen=True)
class AttentionCall:
    """One attention call of a model.

    Attributes:
        query: [batch, num_heads, sequence, head_size]. key, value: [batch, num_kv_heads, sequence, head_size].
        scale: of the scores. window: how many of the latest positions are read, or None. softcap: of the scores.
        sink: [num_heads], one extra score per head that takes probability and gives nothing.
        bias: added to the scores, [1 or batch, num_heads, sequence, total], in slots only.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scale: float
    window: int | None
    softcap: float | None
    sink: torch.Tensor | None
    bias: torch.Tensor | None = None

    def attributes(self) -> dict[str, int | float | str]:
        """Those that the nodes have in common."""
        attributes: dict[str, int | float | str] = {
            "num_heads": self.query.shape[1],
            "kv_num_heads": self.key.shape[1],
            "scale": self.scale,
        }
        if self.window:
            attributes["local_window_size"] = int(self.window)
        if self.softcap:
            attributes["softcap"] = float(self.softcap)
        return attributes


class Kernel(Protocol):
    """Makes the fused node of an attention call."""

    def emit(self, call: AttentionCall, index: int, past: Cache) -> tuple[torch.Tensor, Cache]:
        """The output [batch, sequence, num_heads, head_size] and the cache after the ``index``-th call of a pass."""
        ...


@dataclass(frozen=True)
class SlotKernel:
    """GroupQueryAttention: one row of the batch and one cache [num_kv_heads, max_length, head_size] per sequence.

    ``seqlens_k``: [batch] int32, valid length after the run minus one. ``total_length``: [1] int32, the longest.
    """

    seqlens_k: torch.Tensor
    total_length: torch.Tensor

    def emit(self, call: AttentionCall, index: int, past: Cache) -> tuple[torch.Tensor, Cache]:
        """See :meth:`Kernel.emit`."""
        batch, num_heads, sequence, head_size = call.query.shape
        flat = [part.transpose(1, 2).reshape(batch, sequence, -1) for part in (call.query, call.key, call.value)]
        inputs = [*flat, *past, self.seqlens_k, self.total_length]
        sink = call.sink
        if sink is None and not call.softcap:
            sink = call.query.new_full((num_heads,), _NO_SINK)
        if sink is not None or call.bias is not None:
            inputs += [None, None, None, call.bias, sink]  # cos_cache, sin_cache, position_ids, bias, head_sink
        shape = (batch, sequence, num_heads * head_size)
        output, present = _node("GroupQueryAttention", inputs, call.attributes(), shape, past)
        return output.reshape(batch, sequence, num_heads, head_size), present


class CrossKernel(Protocol):
    """Makes the fused node of an attention call that looks at the source."""

    def emit(self, query: torch.Tensor, scale: float, source: Cache) -> tuple[torch.Tensor, Cache]:
        """The output [batch, sequence, num_heads, head_size] for ``query`` [batch, num_heads, sequence, head_size],
        and ``source``, in the layout of the kernel, unchanged."""
        ...


@dataclass(frozen=True)
class SourceKernel:
    """GroupQueryAttention over what an encoder made of each row's source: no new keys, and all of them in reach.

    ``source_seqlens``: [batch] int32, length of each source minus one. ``source_total``: [1] int32, the longest.
    """

    source_seqlens: torch.Tensor
    source_total: torch.Tensor

    def emit(self, query: torch.Tensor, scale: float, source: Cache) -> tuple[torch.Tensor, Cache]:
        """See :meth:`CrossKernel.emit`; ``source`` is [batch, num_kv_heads, max_source, head_size]."""
        batch, num_heads, sequence, head_size = query.shape
        flat = query.transpose(1, 2).reshape(batch, sequence, -1)
        none = flat[:, :0, : source[0].shape[1] * head_size]
        sink = query.new_full((num_heads,), _NO_SINK)
        inputs = [flat, none, none, *source, self.source_seqlens, self.source_total, None, None, None, None, sink]
        attributes = {"num_heads": num_heads, "kv_num_heads": source[0].shape[1], "scale": scale, "causal": 0}
        output, present = _node("GroupQueryAttention", inputs, attributes, flat.shape, source)
        return output.reshape(batch, sequence, num_heads, head_size), present


@dataclass(frozen=True)
class CacheScales:
    """Steps of an 8-bit cache, for each attention call: keys and values, each [num_kv_heads, 1, head_size] float32."""

    dtype: torch.dtype
    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]


@dataclass(frozen=True)
class PageKernel:
    """PagedAttention: the tokens of all sequences in one row, a cache of blocks, a block table per sequence.

    Attributes:
        cumulative_sequence_length: [num_sequences + 1] int32, where each sequence's tokens begin, and their sum.
        past_seqlens: [num_sequences] int32. block_table: [num_sequences, max_blocks] int32.
        slot_mapping: [num_tokens] int32, block * block_size + offset where a token's key is written, or -1.
        attention_metadata: [3] int32 in host memory, bounds of the lengths of this run.
        scales: of an 8-bit cache.
    """

    cumulative_sequence_length: torch.Tensor
    past_seqlens: torch.Tensor
    block_table: torch.Tensor
    slot_mapping: torch.Tensor
    attention_metadata: torch.Tensor
    scales: CacheScales | None = None

    def emit(self, call: AttentionCall, index: int, past: Cache) -> tuple[torch.Tensor, Cache]:
        """See :meth:`Kernel.emit`. The batch is one row."""
        assert call.bias is None, "PagedAttention adds nothing to scores"
        _, num_heads, tokens, head_size = call.query.shape
        flat = [part.transpose(1, 2).reshape(tokens, -1) for part in (call.query, call.key, call.value)]
        attributes = call.attributes()
        steps: list[torch.Tensor | None] = [None, None]
        if self.scales is not None:
            attributes |= {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL"}
            steps = [self.scales.keys[index], self.scales.values[index]]
        inputs = [*flat, *past, self.cumulative_sequence_length, self.past_seqlens, self.block_table]
        inputs += [None, None, self.slot_mapping, call.sink]  # cos_cache, sin_cache, slot_mapping, head_sink
        inputs += [None, None, *steps, self.attention_metadata]  # q_norm_weight, k_norm_weight, scales, metadata
        output, present = _node("PagedAttention", inputs, attributes, (tokens, num_heads * head_size), past)
        return output.reshape(1, tokens, num_heads, head_size), present


@dataclass(frozen=True)
class PagedSourceKernel:
    """PagedAttention over what an encoder made of the source of each token's sequence: all of it, and nothing new.

    Each token is a sequence of its own, the last position of its source, so that the causal mask hides nothing. Then
    answers may be longer than their sources, and every backend of the operator will do: without its causal mask it has
    one, which is not the quickest for single tokens and takes blocks of certain sizes only.

    Attributes:
        bounds: [num_tokens + 1] int32, 0, 1, 2 and so on. past_seqlens: [num_tokens] int32, length of the source of
            each token minus one. block_table: [num_tokens, max_source_blocks] int32, where it lies.
        slot_mapping: [num_tokens] int32, all -1: nothing is written.
        metadata: [3] int32 in host memory, 1 and bounds of the lengths of the sources.
    """

    bounds: torch.Tensor
    past_seqlens: torch.Tensor
    block_table: torch.Tensor
    slot_mapping: torch.Tensor
    metadata: torch.Tensor

    def emit(self, query: torch.Tensor, scale: float, source: Cache) -> tuple[torch.Tensor, Cache]:
        """See :meth:`CrossKernel.emit`; ``source`` is [num_source_blocks, block_size, num_kv_heads, head_size], and the
        batch is one row."""
        _, num_heads, tokens, head_size = query.shape
        num_kv_heads = source[0].shape[2]
        flat = query.transpose(1, 2).reshape(tokens, -1)
        # In the place of new keys and values, of which there are none: they are written nowhere, so never read.
        none = flat if num_kv_heads == num_heads else flat[:, : num_kv_heads * head_size]
        inputs = [flat, none, none, *source, self.bounds, self.past_seqlens, self.block_table]
        inputs += [None, None, self.slot_mapping, *[None] * 5, self.metadata]
        attributes = {"num_heads": num_heads, "kv_num_heads": num_kv_heads, "scale": scale}
        output, present = _node("PagedAttention", inputs, attributes, (tokens, num_heads * head_size), source)
        return output.reshape(1, tokens, num_heads, head_size), present


def _node(
    op_type: str,
    inputs: list[torch.Tensor | None],
    attributes: Mapping[str, int | float | str],
    shape: tuple[int, ...],
    past: Cache,
) -> tuple[torch.Tensor, Cache]:
    """A traced node with an output [*shape] of the first input's dtype, and the two caches."""
    assert inputs[0] is not None
    output, keys, values = torch.onnx.ops.symbolic_multi_out(
        f"com.microsoft::{op_type}",
        inputs,
        dict(attributes),
        dtypes=[inputs[0].dtype, past[0].dtype, past[1].dtype],
        shapes=[shape, past[0].shape, past[1].shape],
        version=1,
    )
    return output, (keys, values)
