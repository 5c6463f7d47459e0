"""Small mixtures of experts, of the families that quantised checkpoints are published of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

COUNT = 4
"""Experts of a layer."""

_SMALL = {
    **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 256, "initializer_range": 0.2},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_experts_per_tok": 2},
}
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "qwen3_moe": ("Qwen3MoeConfig", {"head_dim": 16, "moe_intermediate_size": 64, "num_experts": COUNT}),
    "qwen2_moe": (
        "Qwen2MoeConfig",
        {"moe_intermediate_size": 64, "shared_expert_intermediate_size": 96, "num_experts": COUNT},
    ),
    "mixtral": ("MixtralConfig", {"num_local_experts": COUNT}),
    "olmoe": ("OlmoeConfig", {"num_experts": COUNT}),
    "glm4_moe": (
        "Glm4MoeConfig",
        {
            **{"head_dim": 16, "moe_intermediate_size": 64, "n_routed_experts": COUNT, "n_group": 1, "topk_group": 1},
            **{"first_k_dense_replace": 0},
        },
    ),
    "llama4_text": (
        "Llama4TextConfig",
        {
            **{"head_dim": 16, "intermediate_size": 64, "intermediate_size_mlp": 96, "num_local_experts": COUNT},
            **{"attention_chunk_size": 256, "interleave_moe_layer_step": 1, "num_experts_per_tok": 1},
        },
    ),
    "granitemoe": ("GraniteMoeConfig", {"num_local_experts": COUNT}),
}
"""Class of the config and what it says of the experts, by family."""


def mixture(family: str) -> Any:
    """A random model of one of :data:`FAMILIES`, in float32."""
    import transformers

    torch.manual_seed(0)
    name, more = FAMILIES[family]
    config = getattr(transformers, name)(**{**_SMALL, **more})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    return model.eval()
