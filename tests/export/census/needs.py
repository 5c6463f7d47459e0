"""What a small config of one type needs beyond the small sizes that all get; of a part where the value is a mapping."""

from __future__ import annotations

from typing import Any

_NO_LAYER_INPUTS = {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}}
_DOTS3 = {
    "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"],
    "mlp_layer_types": ["dense", "sparse"],
}
_INDEXER = {
    **{"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 16},
    **{"indexer_compress_ratio": 4, "ngram_vocab_size_base": 64, "hc_lowrank": 16, "split_ngram_parts": 2},
}
_BERT = {"model_type": "bert", "max_position_embeddings": 128}
_WIDE = {"attention_hidden_size": 128, "attention_head_dim": 32}
_WINDOWS = {"embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4], "patch_size": 4, "window_size": 4}
_STAGES = {"hidden_sizes": [32, 64], "depths": [1, 1], "num_stages": 2}
_RESIDUAL = {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [1, 1]}

NEEDS: dict[str, dict[str, Any]] = {
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8}},
    "dots3_note": {"text_config": _DOTS3},
    "dots3_note_text": _DOTS3,
    "encoder-decoder": {"encoder": _BERT, "decoder": {**_BERT, "is_decoder": True, "add_cross_attention": True}},
    "esm": {"vocab_size": 512, "pad_token_id": 0, "mask_token_id": 300},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "gemma4_assistant": _NO_LAYER_INPUTS,
    "gemma4_unified_assistant": _NO_LAYER_INPUTS,
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "hiera": {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "luke": {"entity_vocab_size": 64, "entity_emb_size": 32},
    "mamba2": {"num_heads": 8, "head_dim": 16, "n_groups": 1},
    "mobilevit": {"image_size": 64},
    "mobilevitv2": {"image_size": 64},
    "ministral": {"head_dim": 16},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "reformer": {"axial_pos_embds_dim": [32, 32], "axial_pos_shape": [16, 8], "attention_head_size": 16},
    "squeezebert": {"embedding_size": 64},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 3, "num_hidden_layers": 6, **_WIDE},
    "zamba2": {"attention_hidden_size": 128, "attention_head_dim": 32},
    "zaya": {"num_experts_per_tok": 1},
    "bit": {**_RESIDUAL, "num_groups": 4},
    "convnext": _STAGES,
    "convnextv2": _STAGES,
    "dinov3_convnext": {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]},
    "donut-swin": _WINDOWS,
    "swin": _WINDOWS,
    "swinv2": _WINDOWS,
    "swin2sr": _WINDOWS,
    "resnet": _RESIDUAL,
    "regnet": {**_RESIDUAL, "groups_width": 16},
}
