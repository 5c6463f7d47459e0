"""The attention function of encoders: emits one MultiHeadAttention node of ONNX Runtime for every attention call.

An encoder attends in both directions, keeps no cache and runs rows of different lengths together: either padded to one
length, or packed, without padding; then only attention itself works on a padded view of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from attendant_export.errors import UnsupportedModel
from attendant_export.tracing.attention import mask_kinds

MaskFunction = Callable[..., torch.Tensor]

_IGNORED_KEYWORDS = frozenset(
    (
        *("position_ids", "position_embeddings", "cache_position", "past_key_values", "use_cache", "is_causal"),
        *("output_attentions", "output_hidden_states", "return_dict", "layer_head_mask", "head_mask", "token_type_ids"),
        *("num_items_in_batch", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "attention_mask"),
        *("sliding_window", "deterministic", "cu_seqlens", "max_seqlen", "encoder_hidden_states", "logits_to_keep"),
    )
)


@dataclass(frozen=True)
class PaddedView:
    """Where packed tokens stand in the padded view.

    Attributes:
        pad_index: [num_rows, max_length] int64, for each place the index of its packed token, any one in the padding.
        unpad_index: [num_tokens] int64, the place of each packed token in the flattened view.
        mask: [num_rows, max_length] int32, 1 for tokens.
    """

    pad_index: torch.Tensor
    unpad_index: torch.Tensor
    mask: torch.Tensor

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """[1, num_tokens, ...] -> [num_rows, max_length, ...]."""
        # A lookup traces to one Gather with the index as it is.
        return torch.nn.functional.embedding(self.pad_index, packed.flatten(0, 1))

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """[num_rows, max_length, ...] -> [1, num_tokens, ...]."""
        return padded.flatten(0, 1).index_select(0, self.unpad_index)[None]


@dataclass(frozen=True)
class EncoderMask:
    """What a mask allows, in place of a mask tensor.

    Attributes:
        causal: keys after the query are out of reach.
        allows: (batch, head, query, key) -> bool, for what is neither full nor causal attention.
        padding: [batch, length], nonzero for tokens, or None.
    """

    causal: bool = False
    allows: MaskFunction | None = None
    padding: torch.Tensor | None = None
    ndim: int = 0
    shape: tuple[int, ...] = ()

    def __getitem__(self, index: object) -> EncoderMask:
        """Some models slice their mask."""
        return self

    def to(self, *args: object, **kwargs: object) -> EncoderMask:
        """Some models move or cast their mask."""
        return self


@dataclass
class EncoderAttention:
    """The attention calls of the passes of one model.

    Attributes:
        architecture: named by errors.
        emits_nodes: fused nodes for a trace; otherwise the same is computed with torch, for a trial.
        view: of a packed pass; None for a padded one, and where rows are equally long.
        padding: [batch, length], nonzero for tokens, of a padded pass; for models that pass none to their attention.
        calls: how many attention calls there have been since :meth:`start`.
    """

    architecture: str
    emits_nodes: bool = False
    view: PaddedView | None = None
    padding: torch.Tensor | None = None
    calls: int = field(default=0, init=False)

    def start(self, view: PaddedView | None = None, padding: torch.Tensor | None = None) -> None:
        """The next pass is packed with ``view``, or padded with ``padding``, or of equally long rows."""
        self.view, self.padding, self.calls = view, padding, 0

    def length(self, default: int) -> int:
        """Tokens of the longest row of a packed pass, over which relative positions are counted; or ``default``."""
        return self.view.pad_index.shape[1] if self.view is not None else default

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        scale: float | None = None,
        mask: EncoderMask | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention within each row.

        Args:
            query: [batch, num_heads, length, key_size], or one row of packed tokens. key, value: the same, with at most
                as many heads, and values of any size.
            scale: of the scores; 1/sqrt(key_size) if None.
            mask: full attention if None.
            bias: added to the scores, [1 or rows, 1 or num_heads, longest, longest].

        Returns:
            [batch, length, num_heads, value_size].
        """
        self.calls += 1
        mask = mask or EncoderMask(padding=self.padding)
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        num_heads, padding = query.shape[1], mask.padding
        scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
        flat = [part.transpose(1, 2).flatten(2) for part in (query, key, value)]  # [batch, length, num_heads * size]
        if self.view is not None:
            flat, padding = [self.view.pad(part) for part in flat], self.view.mask
        if mask.allows is not None:
            bias = _masked_bias(mask.allows, flat[0], bias)
        call = _Call(flat[0], flat[1], flat[2], num_heads, scale, mask.causal, padding, bias)
        output = _node(call) if self.emits_nodes else _computed(call)
        output = self.view.pack(output) if self.view is not None else output
        return output.unflatten(2, (num_heads, value.shape[-1]))

    def attention_function(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: EncoderMask | torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        position_bias: torch.Tensor | None = None,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        """transformers' attention interface over :meth:`attend`.

        Raises:
            UnsupportedModel: a mask or an argument that the fused node has no place for.
        """
        unknown = [name for name, given in keywords.items() if given is not None and name not in _IGNORED_KEYWORDS]
        if unknown:
            raise UnsupportedModel(self.architecture, f"its attention uses {', '.join(sorted(unknown))}")
        if isinstance(attention_mask, torch.Tensor):
            raise UnsupportedModel(self.architecture, "its attention adds a mask of its own")
        mask = attention_mask or EncoderMask()
        return self.attend(query, key, value, scale=scaling, mask=mask, bias=position_bias), None

    def mask_function(
        self,
        *args: object,
        mask_function: MaskFunction,
        attention_mask: torch.Tensor | None = None,
        local_size: int | None = None,
        **keywords: object,
    ) -> EncoderMask:
        """transformers' mask interface: describes the mask in place of building it.

        Raises:
            UnsupportedModel: a mask of a kind that is not known.
        """
        kinds = frozenset(mask_kinds(mask_function))
        if kinds == {"bidirectional_mask_function"}:
            return EncoderMask(padding=attention_mask)
        if kinds == {"causal_mask_function"}:
            return EncoderMask(causal=True, padding=attention_mask)
        if kinds == {"causal_mask_function", "sliding_window_overlay"} and local_size is not None:
            # Not the function itself: it may read positions that restart, as packed ones do.
            return EncoderMask(allows=_causal_window(local_size), padding=attention_mask)
        if "sliding_window_bidirectional_overlay" in kinds and "or_masks" not in kinds:
            return EncoderMask(allows=mask_function, padding=attention_mask)
        found = ", ".join(sorted(kinds)) or "unknown"
        raise UnsupportedModel(self.architecture, f"its attention mask is neither full, causal nor windowed ({found})")


def _causal_window(size: int) -> MaskFunction:
    def allows(batch: object, head: object, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key <= query) & (query - key < size)

    return allows


def _filter(dtype: torch.dtype) -> float:
    """What is added to a score to take it out of the softmax."""
    return -3.4e38 if dtype == torch.float32 else -1e4


def _masked_bias(allows: MaskFunction, query: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """[1 or rows, 1 or num_heads, length, length]: ``bias``, or 0, where ``allows``."""
    places = torch.arange(query.shape[1])
    allowed = allows(0, 0, places[:, None], places[None, :])[None, None]
    base = bias if bias is not None else torch.zeros((), dtype=query.dtype)
    return torch.where(allowed, base, torch.tensor(_filter(query.dtype), dtype=query.dtype))


@dataclass(frozen=True)
class _Call:
    """Queries, keys and values are [rows, length, num_heads * size]; the rest as in :class:`EncoderMask`."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    num_heads: int
    scale: float
    causal: bool
    padding: torch.Tensor | None
    bias: torch.Tensor | None


def _node(call: _Call) -> torch.Tensor:
    """The fused node, [rows, length, num_heads * value_size]."""
    mask = None if call.padding is None else call.padding.to(torch.int32)
    inputs = [call.query, call.key, call.value, None, mask, call.bias]
    while inputs[-1] is None:
        inputs.pop()
    attributes: dict[str, int | float] = {
        "num_heads": call.num_heads,
        "scale": call.scale,
        "mask_filter_value": _filter(call.query.dtype),
    }
    if call.causal:
        attributes["unidirectional"] = 1
    output: torch.Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        inputs,
        attributes,
        dtype=call.query.dtype,
        shape=[*call.query.shape[:2], call.value.shape[2]],  # keys and values may be fewer than queries
        version=1,
    )
    return output


def _computed(call: _Call) -> torch.Tensor:
    """What :func:`_node` computes."""
    heads = [part.unflatten(2, (call.num_heads, -1)).transpose(1, 2) for part in (call.query, call.key, call.value)]
    query, key, value = heads
    scores = query @ key.transpose(2, 3) * call.scale  # [rows, num_heads, length, length]
    scores = scores if call.bias is None else scores + call.bias
    away = _filter(scores.dtype)
    if call.causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), away)
    if call.padding is not None:
        scores = scores.masked_fill(call.padding[:, None, None, :] == 0, away)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
