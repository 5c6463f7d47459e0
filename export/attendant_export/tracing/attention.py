"""The one attention function of the exporter: emits one of ONNX Runtime's fused nodes for every attention call.

transformers lets a caller register an attention function and a mask function. Ours turn each attention call of a traced
model into one node that owns its KV cache, so that an architecture needs no code of its own here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Never

import torch

from attendant_export.errors import MaskRead, UnsupportedModel
from attendant_export.graph.kernels import AttentionCall, Cache, Kernel
from attendant_export.progress import Step, no_step

IMPLEMENTATION = "attendant"
HEAD_MULTIPLE = 8  # the kernels read and write heads in blocks of 8 channels

# Keyword arguments that models pass along for other implementations and that mean nothing to a fused causal kernel.
_IGNORED_KEYWORDS = frozenset(
    (
        *("position_ids", "position_embeddings", "cache_position", "past_key_values", "use_cache", "is_causal"),
        *("output_attentions", "output_hidden_states", "output_router_logits", "return_dict", "logits_to_keep"),
        *("layer_head_mask", "head_mask", "num_items_in_batch"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"),
    )
)
_MASK_KINDS = (
    "causal_mask_function",
    "sliding_window_overlay",
    "sliding_window_bidirectional_overlay",
    "bidirectional_mask_function",
    "chunked_overlay",
    "blockwise_overlay",
    "or_masks",
)
_FUSABLE_KINDS = frozenset({"causal_mask_function", "sliding_window_overlay"})


@dataclass(frozen=True)
class MaskSpec:
    """What a mask allows, in place of a mask tensor: non-strict tracing passes it through to the attention function.

    Attributes:
        refused: why no fused kernel has a place for it, or None. Models make masks that no attention call of theirs
            uses, so only a call that does is refused.
    """

    kinds: frozenset[str]
    window: int | None = None
    ndim: int = 0
    shape: tuple[int, ...] = ()
    refused: str | None = None

    def __getitem__(self, index: object) -> MaskSpec:
        """Some models slice their mask to the key length."""
        return self

    def to(self, *args: object, **kwargs: object) -> MaskSpec:
        """Some models move or cast their mask."""
        return self

    def __getattr__(self, name: str) -> Never:
        raise MaskRead

    def _computed(self, *others: object) -> Never:
        raise MaskRead

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __and__ = __or__ = __invert__ = _computed


@dataclass(frozen=True)
class AttentionLayer:
    """One attention call of a forward pass, in call order, with its cache sizes after padding."""

    num_heads: int
    num_kv_heads: int
    head_size: int
    window: int | None


@dataclass
class AttentionTrace:
    """The attention calls of one forward pass: first probed for their layout, then traced into fused nodes.

    Attributes:
        architecture: named by errors.
        layers: filled by the probe, in call order (a layer may attend twice, a module may lack a layer index).
        position_ids: [batch, sequence] int64 of the pass under way.
        kernel: makes the fused nodes; None while probing.
        pasts: per call, the cache (key, value) in the layout of the kernel.
        presents: per call, what the fused node returned in place of the pasts.
        uses_alibi: some channels of the keys are positions.
        longest: most positions of a sequence, or None where it is not known.
        step: told each attention call that is traced.
    """

    architecture: str
    layers: list[AttentionLayer] = field(default_factory=list)
    position_ids: torch.Tensor | None = None
    kernel: Kernel | None = None
    pasts: list[Cache] = field(default_factory=list)
    presents: list[Cache] = field(default_factory=list)
    uses_alibi: bool = False
    longest: int | None = None
    step: Step = no_step

    def start_probe(self, position_ids: torch.Tensor) -> None:
        """The next pass records the layout of its attention calls."""
        self.layers, self.kernel, self.position_ids = [], None, position_ids

    def start_trace(self, position_ids: torch.Tensor, pasts: list[Cache], kernel: Kernel) -> None:
        """The next pass emits one fused node per attention call."""
        self.position_ids, self.pasts, self.presents, self.kernel = position_ids, pasts, [], kernel

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        scale: float | None = None,
        window: int | None = None,
        softcap: float | None = None,
        sink: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Causal attention over the cache and the new tokens.

        Args:
            query: [batch, num_heads, sequence, key_size]. key: [batch, num_kv_heads, sequence, key_size].
            value: [batch, num_kv_heads, sequence, value_size], value_size at most key_size.
            scale: of the scores; 1/sqrt(key_size) if None.
            sink: [num_heads], one extra score per head that takes probability and gives nothing.
            bias: added to the scores, [1 or batch, num_heads, sequence, positions].

        Returns:
            [batch, sequence, num_heads, value_size].

        Raises:
            UnsupportedModel: values wider than keys.
        """
        key_size, value_size = key.shape[-1], value.shape[-1]
        if value_size > key_size:
            reason = f"its values ({value_size} channels a head) are wider than its keys ({key_size})"
            raise UnsupportedModel(self.architecture, reason)
        if scale is None:
            scale = key_size**-0.5
        head_size = -(-key_size // HEAD_MULTIPLE) * HEAD_MULTIPLE
        if self.kernel is None:
            self.layers.append(AttentionLayer(query.shape[1], key.shape[1], head_size, window))
            batch, num_heads, sequence, _ = query.shape
            return value.new_zeros(batch, sequence, num_heads, value_size)
        query, key = query.to(value.dtype), key.to(value.dtype)  # a model may compute its scores in a wider type
        # Zero channels add nothing to the scores, and what they give out is cut off again.
        query, key, value = (widen(tensor, head_size) for tensor in (query, key, value))
        index = len(self.presents)
        if index >= len(self.pasts):
            raise UnsupportedModel(self.architecture, "it attends more often with a cache than without one")
        self.step(f"layer {index + 1} of {len(self.pasts)}")
        call = AttentionCall(query, key, value, float(scale), window, softcap, sink, bias)
        output, present = self.kernel.emit(call, index, self.pasts[index])
        self.presents.append(present)
        return output[..., :value_size] if value_size < head_size else output

    def attention_function(  # noqa: PLR0913 - the interface of transformers
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: MaskSpec | torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        softcap: float | None = None,
        s_aux: torch.Tensor | None = None,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        """transformers' attention interface over :meth:`attend`.

        Raises:
            UnsupportedModel: a mask or an argument that the fused kernel has no place for.
        """
        unknown = [name for name, given in keywords.items() if given is not None and name not in _IGNORED_KEYWORDS]
        if unknown:
            raise UnsupportedModel(self.architecture, f"its attention uses {', '.join(sorted(unknown))}")
        window = sliding_window if attention_mask is None else self.window_of(attention_mask)
        output = self.attend(query, key, value, scale=scaling, window=window, softcap=softcap, sink=s_aux)
        return output, None

    def window_of(self, mask: MaskSpec | torch.Tensor) -> int | None:
        """How many of the latest positions a causal mask leaves in reach; None for all.

        Raises:
            UnsupportedModel: a mask that is not causal, with or without a sliding window.
        """
        if not isinstance(mask, MaskSpec):
            raise UnsupportedModel(self.architecture, "its attention adds a mask of its own")
        if mask.refused is not None:
            raise UnsupportedModel(self.architecture, mask.refused)
        return mask.window

    def mask_function(
        self,
        *args: object,
        mask_function: Callable[..., object],
        local_size: int | None = None,
        **keywords: object,
    ) -> MaskSpec:
        """transformers' mask interface: describes the mask in place of building it."""
        kinds = frozenset(mask_kinds(mask_function))
        if local_size is not None and self.longest is not None and self.longest <= local_size:
            kinds -= {"chunked_overlay"}  # everything is in the first chunk
        window = local_size if "sliding_window_overlay" in kinds else None
        return MaskSpec(kinds, window, refused=_why_refused(kinds))


def _why_refused(kinds: frozenset[str]) -> str | None:
    """Why a causal kernel has no place for a mask of these kinds; None where it has."""
    strange = sorted(kinds - _FUSABLE_KINDS)
    if strange == ["bidirectional_mask_function"]:
        return "its tokens look at those after them, too (a decoder has is_decoder true in its config.json)"
    if strange or not kinds:
        return f"its attention mask is not causal or windowed ({', '.join(strange) or 'unknown'})"
    return None


def widen(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Zero-pads the last dimension to ``size``."""
    missing = size - tensor.shape[-1]
    return torch.nn.functional.pad(tensor, (0, missing)) if missing else tensor


def mask_kinds(function: Callable[..., object]) -> Iterator[str]:
    """The names of the transformers mask builders that a composed mask function closes over."""
    name = getattr(function, "__qualname__", "")
    yield from (kind for kind in _MASK_KINDS if name.startswith(kind))
    for cell in getattr(function, "__closure__", None) or ():
        content = cell.cell_contents
        parts = content if isinstance(content, tuple) else (content,)
        for part in parts:
            if callable(part) and not isinstance(part, torch.Tensor):
                yield from mask_kinds(part)
