"""Tiny random models, one per architecture: the data behind the architecture test and docs/architectures.md."""

from __future__ import annotations

from typing import Any

from tests.export.relatives import RELATIVES
from tests.export.shapes import CONTEXT, HEADS, VOCAB, WINDOW

_BASE = {**HEADS, "num_key_value_heads": 2}
_WINDOWED = {**_BASE, "sliding_window": WINDOW}
_ALTERNATING = {**_WINDOWED, "layer_types": ["sliding_attention", "full_attention"]}
_GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB, "n_positions": CONTEXT}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 32,
}
_LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}
_GEMMA = {**_ALTERNATING, "head_dim": 32}
_PER_LAYER = {
    **_GEMMA,
    "num_kv_shared_layers": 0,
    "vocab_size_per_layer_input": VOCAB,
    "hidden_size_per_layer_input": 16,
}

_FAMILIES: dict[str, dict[str, Any]] = {
    "apertus": _BASE,
    "arcee": _BASE,
    "biogpt": HEADS,
    "aria_text": {**_BASE, "head_dim": 16, "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
    "bitnet": _BASE,
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB},
    "codegen": {**_GPT2, "rotary_dim": 8},
    "cohere": {**_BASE, "logit_scale": 0.25},
    "cohere2": _ALTERNATING,
    "cwm": _WINDOWED,
    "dbrx": {
        "d_model": 64,
        "n_layers": 2,
        "n_heads": 4,
        "max_seq_len": CONTEXT,
        "vocab_size": VOCAB,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 64, "hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {**HEADS, **_ROUTED, **_LATENT},
    "deepseek_v3": {**HEADS, **_ROUTED, **_LATENT},
    "diffllama": _BASE,
    "dots1": {**_BASE, **_ROUTED, "n_shared_experts": 1},
    "ernie4_5": {**_BASE, "head_dim": 16},
    "ernie4_5_moe": {**_BASE, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32},
    "exaone4": _ALTERNATING,
    "falcon": {**HEADS, "alibi": False, "new_decoder_architecture": False, "multi_query": True},
    "falcon/alibi": {**HEADS, "alibi": True, "multi_query": False, "new_decoder_architecture": False},
    "falcon/new": {**HEADS, "alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    "gemma": {**_BASE, "head_dim": 32},
    "gemma2": {**_WINDOWED, "head_dim": 32},
    "gemma3_text": _GEMMA,
    "gemma3n_text": {
        **_PER_LAYER,
        "laurel_rank": 8,
        "activation_sparsity_pattern": [0.95, 0.0],
        "intermediate_size": [128, 128],
    },
    "gemma4_text": {**_PER_LAYER, "global_head_dim": 32},
    "gemma4_text/shared": {
        **_PER_LAYER,
        "global_head_dim": 32,
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
    },
    "glm": {**_BASE, "head_dim": 16},
    "glm4": {**_BASE, "head_dim": 16},
    "glm4_moe": {**_BASE, **_ROUTED, "head_dim": 16, "n_shared_experts": 1},
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": {
        "hidden_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT,
        "attention_types": [[["global", "local"], 1]],
        "window_size": WINDOW,
    },
    "gpt_neox": HEADS,
    "gpt_neox_japanese": HEADS,
    "gpt_oss": {**_WINDOWED, **_LOCAL_EXPERTS, "head_dim": 16},
    "gptj": {**_GPT2, "rotary_dim": 8},
    "granite": {
        **_BASE,
        "logits_scaling": 3.0,
        "residual_multiplier": 0.7,
        "embedding_multiplier": 2.0,
        "attention_multiplier": 0.2,
    },
    "granitemoe": {**_BASE, **_LOCAL_EXPERTS},
    "granitemoehybrid/attention": {
        **_BASE,
        **_LOCAL_EXPERTS,
        "layer_types": ["attention", "attention"],
        "shared_intermediate_size": 64,
    },
    "helium": {**_BASE, "head_dim": 16},
    "hunyuan_v1_dense": {**_BASE, "head_dim": 16},
    "jais2": _BASE,
    "jetmoe": {**_BASE, **_LOCAL_EXPERTS, "kv_channels": 16},
    "llama": _BASE,
    "llama/head12": {**_BASE, "head_dim": 12},
    "llama/head20": {**_BASE, "head_dim": 20},
    "llama/tied": {**_BASE, "tie_word_embeddings": True},
    "llama4_text": {
        **_BASE,
        **_LOCAL_EXPERTS,
        "head_dim": 16,
        "intermediate_size_mlp": 128,
        "num_hidden_layers": 4,
        "no_rope_layers": [1, 0, 1, 0],
        "interleave_moe_layer_step": 2,
        "attention_chunk_size": 64,
        "floor_scale": 8,
        "attn_scale": 0.5,
    },
    "longcat_flash": {
        **HEADS,
        **_LATENT,
        "head_dim": 16,
        "num_layers": 1,
        "n_routed_experts": 4,
        "zero_expert_num": 2,
        "moe_topk": 3,
        "expert_ffn_hidden_size": 32,
    },
    "minimax_m2": {**_BASE, **_LOCAL_EXPERTS, "head_dim": 16},
    "mistral": _WINDOWED,
    "mixtral": {**_BASE, **_LOCAL_EXPERTS},
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 4, "vocab_size": VOCAB, "max_seq_len": CONTEXT},
    "nanochat": _BASE,
    "nemotron": _BASE,
    "olmo": _BASE,
    "olmo2": _BASE,
    "olmo3": _ALTERNATING,
    "olmoe": {**_BASE, "num_experts": 4, "num_experts_per_tok": 2},
    "openai-gpt": _GPT2,
    "opt": {**HEADS, "ffn_dim": 128, "word_embed_proj_dim": 64},
    "persimmon": HEADS,
    "phi": _BASE,
    "phi3": _WINDOWED,
    "phi3/longrope": {
        **_WINDOWED,
        "original_max_position_embeddings": 64,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 8,
            "long_factor": [2.0] * 8,
            "original_max_position_embeddings": 64,
        },
    },
    "phimoe": {**_BASE, **_LOCAL_EXPERTS},
    "qwen2": {**_WINDOWED, "use_sliding_window": True, "max_window_layers": 1},
    "qwen2_moe": {**_BASE, **_EXPERTS, "shared_expert_intermediate_size": 64},
    "qwen3": {**_BASE, "head_dim": 32},
    "qwen3_moe": {**_BASE, **_EXPERTS, "head_dim": 16},
    "seed_oss": {**_BASE, "head_dim": 16},
    "smollm3": {**_BASE, "no_rope_layers": [1, 0]},
    "stablelm": _BASE,
    "starcoder2": _WINDOWED,
    "vaultgemma": {**_WINDOWED, "head_dim": 32},
    "xglm": {
        "d_model": 64,
        "ffn_dim": 128,
        "num_layers": 2,
        "attention_heads": 4,
        "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT,
    },
}

# Fields of each configuration; a name after "/" tells variants of one model type apart.
ARCHITECTURES: dict[str, dict[str, Any]] = dict(sorted((_FAMILIES | RELATIVES).items()))


def build(name: str) -> Any:
    """The model of one entry: float32, eager attention, the same weights every time.

    All weights are stirred, so that a norm, bias or sink that starts as zero or one cannot hide a mistake.
    """
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[name.split("/")[0]](**ARCHITECTURES[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
        for parameter in model.parameters():
            spread = 0.1 if parameter.ndim == 1 else 0.05
            parameter.data += spread * torch.randn(parameter.shape)
    return model
