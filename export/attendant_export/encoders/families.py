"""What the few encoder families need whose attention is not plain: relative positions, or attention written out.

Each patch replaces one method of one class for the time of a trace, as :mod:`attendant_export.decoders.families` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from attendant_export.encoders import led
from attendant_export.encoders.attention import EncoderAttention
from attendant_export.errors import UnsupportedModel
from attendant_export.tracing.methods import Method, replaced
from attendant_export.tracing.trace import fused_attention

Patch = Callable[[Any, EncoderAttention], Method]


def _relative_bias(module: Any, attention: EncoderAttention) -> Method:
    """T5 counts distances over the longest row, not over the packed tokens."""
    original = module.compute_bias

    def compute_bias(self: Any, query_length: int, key_length: int, *args: Any, **keywords: Any) -> torch.Tensor:
        bias: torch.Tensor = original(attention.length(query_length), attention.length(key_length), *args, **keywords)
        return bias

    return compute_bias


def _mpnet_bias(module: Any, attention: EncoderAttention) -> Method:
    original = module.compute_position_bias

    def compute_position_bias(self: Any, x: torch.Tensor, *args: Any, **keywords: Any) -> torch.Tensor:
        length = attention.length(x.shape[1])
        bias: torch.Tensor = original(x.new_zeros(1, length))  # one row, of counted positions, for all rows
        return bias

    return compute_position_bias


def _mpnet_attention(module: Any, attention: EncoderAttention) -> Method:
    def forward(
        self: Any, states: Any, mask: Any = None, position_bias: Any = None, *args: Any, **keywords: Any
    ) -> Any:
        projected = (projection(states) for projection in (self.q, self.k, self.v))
        heads = [part.unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2) for part in projected]
        return (self.o(attention.attend(*heads, bias=position_bias).flatten(2)),)

    return forward


def _bert_attention(module: Any, attention: EncoderAttention) -> Method:
    """Attention of BERT's shape that computes its scores itself."""

    def forward(self: Any, states: Any, *args: Any, **keywords: Any) -> Any:
        projected = (projection(states) for projection in (self.query, self.key, self.value))
        heads = [part.unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2) for part in projected]
        return attention.attend(*heads).flatten(2), None

    return forward


def bart_attention(module: Any, attention: Any) -> Method:
    """Attention of BART's shape that computes its scores itself, to its own tokens or to those of a source.

    ``attention``: whose ``attention_function`` is transformers' interface.
    """
    rest = WRITTEN_OUT_AS_BART[type(module).__name__]

    def forward(
        self: Any,
        hidden_states: Any,
        key_value_states: Any = None,
        past_key_values: object = None,
        attention_mask: Any = None,
        **keywords: Any,
    ) -> Any:
        if keywords.get("attn_prompt") is not None:
            raise UnsupportedModel(
                attention.architecture, "trained keys and values (attn_prompt) come before its tokens"
            )
        read = hidden_states if key_value_states is None else key_value_states
        projected = (self.q_proj(hidden_states), self.k_proj(read), self.v_proj(read))
        heads = [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in projected]
        output, _ = attention.attention_function(self, *heads, attention_mask, self.head_dim**-0.5)
        return (self.out_proj(output.flatten(2)), *[None] * rest)

    return forward


WRITTEN_OUT_AS_BART = {"MvpAttention": 1, "LEDDecoderAttention": 2}
"""By class, how much they give besides their output: weights, and a cache."""
PATCHES: dict[tuple[str, str], Patch] = {
    ("T5Attention", "compute_bias"): _relative_bias,
    ("MT5Attention", "compute_bias"): _relative_bias,
    ("UMT5Attention", "compute_bias"): _relative_bias,
    ("MPNetEncoder", "compute_position_bias"): _mpnet_bias,
    ("MPNetSelfAttention", "forward"): _mpnet_attention,
    ("RemBertSelfAttention", "forward"): _bert_attention,
    ("MegatronBertSelfAttention", "forward"): _bert_attention,
    ("BigBirdPegasusSelfAttention", "forward"): _bert_attention,
    ("LEDEncoder", "forward"): led.encoder,
    ("LEDEncoderSelfAttention", "forward"): led.self_attention,
    **{(name, "forward"): bart_attention for name in WRITTEN_OUT_AS_BART},
}
"""By class and method."""


@contextmanager
def patched_encoder(model: Any, attention: EncoderAttention) -> Iterator[None]:
    """Makes ``model`` call ``attention`` wherever it can; its own attention is put back after.

    Raises:
        UnsupportedModel: it cannot anywhere.
    """
    by_class: dict[str, list[tuple[str, Patch]]] = {}
    for (name, method), patch in PATCHES.items():
        by_class.setdefault(name, []).append((method, patch))
    methods = [
        (module, method, patch(module, attention))
        for module in model.modules()
        for method, patch in by_class.get(type(module).__name__, ())
    ]
    bypass = any(method == "forward" for _, method, _ in methods)
    if not bypass and not model._can_set_attn_implementation():  # setting it would only warn
        raise UnsupportedModel(attention.architecture, "its attention is written out")
    with replaced(methods), fused_attention(model, attention, bypass):
        yield
