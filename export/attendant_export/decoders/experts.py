"""Mixtures of experts that transformers has loop over experts, or show all tokens to all of them: each expert sees the
tokens that chose it, in products by groups, which become one product an expert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from attendant_export.toolchain import internal
from attendant_export.tracing.attention import AttentionTrace
from attendant_export.tracing.methods import Method

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""[rows, inputs] times the experts' weights [experts, inputs, outputs]: each row by its own expert's."""


def llama4(trace: AttentionTrace) -> Method:
    """Of Llama4TextMoe, which scales what goes into an expert by its score, not what comes out."""

    def forward(self: Any, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = hidden_states.reshape(-1, self.hidden_dim)
        logits = torch.nn.functional.linear(tokens, self.router.weight)
        values, chosen = torch.topk(logits, self.top_k, dim=-1)
        scores = torch.sigmoid(values.float()).to(tokens.dtype)
        experts = self.experts

        def expert(rows: torch.Tensor, times: Product) -> torch.Tensor:
            gate, up = times(rows, experts.gate_up_proj).chunk(2, dim=-1)
            return times(up * experts.act_fn(gate), experts.down_proj)

        pairs = (tokens[:, None] * scores[:, :, None]).flatten(0, 1)  # [tokens * top_k, channels]
        found = _by_expert(pairs, chosen.flatten(), self.num_experts, expert)
        return self.shared_expert(tokens) + found.unflatten(0, (-1, self.top_k)).sum(1), logits

    return forward


def dbrx(trace: AttentionTrace) -> Method:
    """Of DbrxExperts, once its weights are :func:`apart`."""

    def forward(
        self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        tokens = hidden_states.reshape(-1, self.hidden_size)
        gate_weight, up_weight, down_weight = self.mlp.w1, self.mlp.v1, self.mlp.w2

        def expert(rows: torch.Tensor, times: Product) -> torch.Tensor:
            gate = self.mlp.activation_fn(times(rows, gate_weight.transpose(1, 2)))
            return times(gate * times(rows, up_weight.transpose(1, 2)), down_weight)

        return _mixed(tokens, top_k_index, top_k_weights, self.num_experts, expert).reshape(hidden_states.shape)

    return forward


def step(trace: AttentionTrace) -> Method:
    """Of Step3p7Experts, which caps what goes into the last product."""

    def forward(
        self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        def expert(rows: torch.Tensor, times: Product) -> torch.Tensor:
            inner = self._apply_gate(times(rows, self.gate_up_proj.transpose(1, 2)))
            return times(inner, self.down_proj.transpose(1, 2))

        mixed = _mixed(hidden_states, top_k_index, top_k_weights, self.num_experts, expert)
        return mixed.to(hidden_states.dtype)

    return forward


def apart(module: Any) -> None:
    """Makes a DbrxExpertGLU's weights, rows of one matrix for all experts, [experts, outputs, inputs]: so a graph has
    constants of each, and its own code reads them, too."""
    shape = (module.moe_num_experts, module.ffn_hidden_size, module.hidden_size)
    for name in ("w1", "v1", "w2"):
        setattr(module, name, torch.nn.Parameter(getattr(module, name).data.view(shape), requires_grad=False))


def longcat(trace: AttentionTrace) -> Method:
    """Of LongcatFlashExperts, whose last experts give back what they get."""

    def forward(
        self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        count, working = top_k_index.shape[-1], self.num_routed_experts

        def expert(rows: torch.Tensor, times: Product) -> torch.Tensor:
            gate, up = times(rows, self.gate_up_proj.transpose(1, 2)).chunk(2, dim=-1)
            return times(self.act_fn(gate) * up, self.down_proj.transpose(1, 2))

        pairs = hidden_states[:, None].expand(-1, count, -1).flatten(0, 1)
        chosen = top_k_index.flatten()
        found = _by_expert(pairs, chosen.clamp(max=working - 1), self.total_experts, expert)
        found = torch.where((chosen < working)[:, None], found, pairs).unflatten(0, (-1, count))
        return (found * top_k_weights[:, :, None]).sum(1).to(hidden_states.dtype)

    return forward


def _mixed(
    tokens: torch.Tensor,
    chosen: torch.Tensor,
    weights: torch.Tensor,
    num_experts: int,
    expert: Callable[[torch.Tensor, Product], torch.Tensor],
) -> torch.Tensor:
    """What experts make of ``tokens`` [tokens, channels], added up by ``weights`` [tokens, top_k] of those ``chosen``,
    [tokens, top_k] int64."""
    count = chosen.shape[-1]
    pairs = tokens[:, None].expand(-1, count, -1).flatten(0, 1)
    found = _by_expert(pairs, chosen.flatten(), num_experts, expert).unflatten(0, (-1, count))
    return (found * weights[:, :, None]).sum(1)


def _by_expert(
    rows: torch.Tensor,
    chosen: torch.Tensor,
    num_experts: int,
    expert: Callable[[torch.Tensor, Product], torch.Tensor],
) -> torch.Tensor:
    """What ``expert`` makes of ``rows`` [rows, channels], in their order; ``chosen``: [rows] int64, whose each is."""
    grouped = internal("transformers.integrations.moe", "_grouped_mm")
    owners, order = torch.sort(chosen)
    counts = torch.histc(owners.float(), bins=num_experts, min=0, max=num_experts - 1)
    ends = torch.cumsum(counts, dim=0, dtype=torch.int32)
    found = expert(rows[order], lambda left, weights: grouped(left, weights, offs=ends[: weights.shape[0]]))
    back = torch.empty_like(order)
    back[order] = torch.arange(order.shape[0])
    return found[back]
