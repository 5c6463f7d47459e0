"""LED's encoder without its blocks: each token looks at those within half a window on either side, by a mask."""

from __future__ import annotations

from typing import Any

import torch

from attendant_export.encoders.attention import EncoderAttention, EncoderMask
from attendant_export.tracing.methods import Method


def encoder(module: Any, attention: EncoderAttention) -> Method:
    """Of LEDEncoder: no padding to whole windows, and no tokens that all others look at, which calls would name."""

    def forward(self: Any, input_ids: torch.Tensor, attention_mask: object = None, **keywords: object) -> Any:
        from transformers.models.led.modeling_led import LEDEncoderBaseModelOutput

        states = self.embed_tokens(input_ids) + self.embed_positions(input_ids.shape)
        states = self.layernorm_embedding(states)
        for layer in self.layers:
            states = layer(states, attention_mask=None)[0]
        return LEDEncoderBaseModelOutput(last_hidden_state=states)

    return forward


def self_attention(module: Any, attention: EncoderAttention) -> Method:
    """Of LEDEncoderSelfAttention."""
    reach = int(module.one_sided_attn_window_size)

    def allows(batch: object, head: object, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (query - key).abs() <= reach

    def forward(self: Any, hidden_states: torch.Tensor, **keywords: object) -> tuple[torch.Tensor]:
        projected = (self.query(hidden_states), self.key(hidden_states), self.value(hidden_states))
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in projected)
        mask = EncoderMask(allows=allows, padding=attention.padding)
        return (attention.attend(query, key, value, mask=mask).flatten(2),)

    return forward
