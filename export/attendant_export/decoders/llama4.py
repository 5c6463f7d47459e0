"""Llama 4 in real numbers: transformers rotates pairs of channels as complex ones, which ONNX has no form for."""

from __future__ import annotations

from typing import Any

import torch

from attendant_export.decoders.written_out import heads
from attendant_export.tracing.attention import AttentionTrace, MaskSpec
from attendant_export.tracing.methods import Method


def rotations(trace: AttentionTrace) -> Method:
    """In place of complex numbers, cosines and sines, each [batch, sequence, head_size / 2]."""

    def forward(self: Any, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = position_ids[..., None].float() * self.inv_freq.float()
        return angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling

    return forward


def attention(trace: AttentionTrace) -> Method:
    """Layers with rotation may norm queries and keys after it; those without scale queries by their position."""

    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: MaskSpec,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        parts = (self.q_proj(hidden_states), self.k_proj(hidden_states), self.v_proj(hidden_states))
        query, key, value = (heads(part, self.head_dim) for part in parts)
        if self.use_rope:
            query, key = _rotated(query, *position_embeddings), _rotated(key, *position_embeddings)
        if hasattr(self, "qk_norm"):
            query, key = self.qk_norm(query), self.qk_norm(key)
        if self.attn_temperature_tuning and not self.use_rope:
            assert trace.position_ids is not None
            steps = torch.floor((trace.position_ids.float() + 1.0) / self.floor_scale)
            scales = torch.log1p(steps) * self.attn_scale + 1.0
            query = (query * scales[:, None, :, None]).to(query.dtype)
        window = trace.window_of(attention_mask)
        output = trace.attend(query, key, value, scale=self.scaling, window=window)
        return self.o_proj(output.flatten(2)), None

    return forward


def _rotated(states: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """[batch, heads, sequence, head_size] with neighbouring channels turned by the angles of their positions."""
    even, odd = states.float().unflatten(-1, (-1, 2)).unbind(-1)
    cosines, sines = cosines[:, None], sines[:, None]
    turned = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1)
    return turned.flatten(-2).to(states.dtype)
