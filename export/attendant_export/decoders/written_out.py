"""Stand-ins for attention that a model writes out itself, from its projections on: of BERT's and BART's children."""

from __future__ import annotations

from typing import Any

import torch

from attendant_export.errors import UnsupportedModel
from attendant_export.tracing.attention import AttentionTrace, MaskSpec
from attendant_export.tracing.methods import Method


def heads(states: torch.Tensor, head_size: int) -> torch.Tensor:
    """[batch, sequence, heads * head_size] -> [batch, heads, sequence, head_size]."""
    return states.unflatten(-1, (-1, head_size)).transpose(1, 2)


def bert_forward(trace: AttentionTrace) -> Method:
    """Of classes with ``query``, ``key`` and ``value``, which leave the output projection to another module."""

    def forward(self: Any, hidden_states: Any, attention_mask: MaskSpec | None = None, **keywords: Any) -> Any:
        parts = (self.query(hidden_states), self.key(hidden_states), self.value(hidden_states))
        query, key, value = (heads(part, self.attention_head_size) for part in parts)
        return _attend(trace, query, key, value, attention_mask), None

    return forward


def roformer_forward(trace: AttentionTrace) -> Method:
    """The same with rotations of neighbouring channels, of values, too, where the config says so."""

    def forward(
        self: Any,
        hidden_states: Any,
        attention_mask: MaskSpec | None = None,
        sinusoidal_pos: Any = None,
        **keywords: Any,
    ) -> Any:
        parts = (self.query(hidden_states), self.key(hidden_states), self.value(hidden_states))
        query, key, value = (heads(part, self.attention_head_size) for part in parts)
        waves = sinusoidal_pos[0, 0][:, None]  # the model puts two axes before the rows that it is told
        rotate = self.apply_rotary_position_embeddings
        if self.rotary_value:
            query, key, value = rotate(waves, query, key, value)
        else:
            query, key = rotate(waves, query, key)
        return _attend(trace, query, key, value, attention_mask), None

    return forward


def bart_forward(trace: AttentionTrace) -> Method:
    """Of classes with ``q_proj``, ``k_proj``, ``v_proj`` and ``out_proj``, where they look at their own tokens.

    Raises:
        UnsupportedModel: trained keys and values come before those of the tokens.
    """

    def forward(
        self: Any,
        hidden_states: Any,
        attention_mask: MaskSpec | None = None,
        attn_prompt: object = None,
        **keywords: Any,
    ) -> Any:
        if attn_prompt is not None:
            raise UnsupportedModel(trace.architecture, "trained keys and values (attn_prompt) come before its tokens")
        parts = (self.q_proj(hidden_states), self.k_proj(hidden_states), self.v_proj(hidden_states))
        query, key, value = (heads(part, self.head_dim) for part in parts)
        return self.out_proj(_attend(trace, query, key, value, attention_mask)), None

    return forward


def _attend(
    trace: AttentionTrace, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: MaskSpec | None
) -> torch.Tensor:
    """[batch, sequence, channels] of scores over the square root of the head size."""
    window = None if mask is None else trace.window_of(mask)
    return trace.attend(query, key, value, window=window).flatten(2)
