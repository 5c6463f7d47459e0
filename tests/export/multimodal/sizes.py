"""What configs of small models are given, of types whose defaults cannot be made small field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = {
    **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 400},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
_EXPERTS = {"moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1}
_LATENT = {
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16},
    **{"head_dim": 8, "num_key_value_heads": 4, "n_group": 1, "topk_group": 1},
}
_VISION = {
    **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"image_size": 28, "patch_size": 14},
}
_GRID = {
    **{"depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 14},
    **{"out_hidden_size": 64, "num_position_embeddings": 16},
}
_OMNI_IDS = {
    **{"vision_start_token_id": 391, "vision_end_token_id": 392, "audio_start_token_id": 393},
    **{"audio_end_token_id": 394, "user_token_id": 395, "audio_token_id": 396, "image_token_id": 397},
    **{"audio_token_index": 396, "image_token_index": 397, "video_token_index": 398, "video_token_id": 398},
}
_HEARING = {
    **{"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "output_dim": 64},
    **{"num_mel_bins": 16, "downsample_hidden_size": 16},
}
_PARTS_OF_HEADS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
_SCALED_QUERIES = {
    **{"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32},
    **{"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1},
}
_CODES = {
    **{"base_channels": 32, "channel_multiplier": [1], "num_res_blocks": 1, "latent_channels": 32, "embed_dim": 32},
    **{"resolution": 16, "hidden_size": 32, "num_embeddings": 8, "codebook_size": 8, "temporal_downsample_factor": 1},
}
_VOCABULARY = {"<image>": 390, **{f"IMGIMG{letter}Z": 391 + place for place, letter in enumerate("ABCDEF")}}
_SOUND = {"hidden_size": 16, "num_filters": 4, "downsampling_ratios": [2, 2], "depths": [1, 1, 1]}
_OCR = {
    "sam_config": {
        **{**_VISION, "output_channels": 16, "global_attn_indexes": [0], "mlp_dim": 48, "image_size": 64},
        **{"patch_size": 16, "downsample_channels": [16, 32], "window_size": 2},
    },
    "encoder_config": _VISION,
}
_TWO_LENGTHS = ["sliding_attention", "full_attention"]
_MUSE = {"head_dim": 16, "sliding_window": 8, "layer_types": _TWO_LENGTHS}
_MUSE_VISION = {**_VISION, "pos_emb_height": 4, "pos_emb_width": 4, "layer_types": ["full_attention"]}
_GEMMA = {
    **{**_TEXT, "num_hidden_layers": 4, "head_dim": 16, "sliding_window": 8},
    **{"layer_types": [*_TWO_LENGTHS, *_TWO_LENGTHS], "vocab_size_per_layer_input": 400},
    "hidden_size_per_layer_input": 16,
}

SIZES: Mapping[str, Mapping[str, Any]] = {
    "chameleon": {**_TEXT, "vq_config": _CODES, "vocabulary_map": _VOCABULARY},
    "cohere_compass": {
        "text_config": {
            **{**_TEXT, "sliding_window": 8, "layer_types": _TWO_LENGTHS},
            "rope_parameters": dict.fromkeys(_TWO_LENGTHS, _PARTS_OF_HEADS),
        },
        "vision_config": _GRID,
    },
    "emu3": {"text_config": _TEXT, "vq_config": _CODES, "vocabulary_map": _VOCABULARY},
    "ernie4_5_vl_moe": {
        "text_config": {
            **{**_TEXT, "moe_intermediate_size": [32, 16], "moe_k": 2, "moe_num_experts": 4},
            **{"moe_num_shared_experts": 1, "mlp_layer_types": ["dense", "sparse"]},
            "rope_parameters": {**_PARTS_OF_HEADS, "mrope_section": [3, 3, 2]},
        },
        "vision_config": _GRID,
    },
    "gemma3n": {
        "text_config": {
            **{**_GEMMA, "intermediate_size": 96, "num_kv_shared_layers": 2, "laurel_rank": 8},
            **{"activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0], "vocab_size_per_layer_input": 380},
        },
        "vision_config": {"hidden_size": 32, "vocab_size": 8, "vocab_offset": 380},
        "audio_config": {
            **{"hidden_size": 32, "vocab_size": 8, "vocab_offset": 388, "conf_num_attention_heads": 2},
            **{"conf_num_hidden_layers": 1, "sscp_conv_channel_size": [8, 4]},
        },
    },
    "gemma4": {
        "text_config": {**_GEMMA, "num_kv_shared_layers": 2, "global_head_dim": 32},
        "vision_config": {**_VISION, "num_key_value_heads": 2, "head_dim": 16, "position_embedding_size": 16},
        "audio_config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "output_proj_dims": 32},
    },
    "gemma4_unified": {
        "text_config": {**_GEMMA, "global_head_dim": 32},
        "vision_config": {"mm_embed_dim": 32, "output_proj_dims": 64, "mm_posemb_size": 16},
        "audio_config": {"audio_embed_dim": 32},
    },
    "glm4v_moe": {
        "text_config": {
            **{**_TEXT, **_EXPERTS},
            "rope_parameters": {**_PARTS_OF_HEADS, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
        },
        "vision_config": _GRID,
    },
    "hunyuan_vl": {
        "text_config": {
            **{**_TEXT, "head_dim": 16},
            "rope_parameters": {**_PARTS_OF_HEADS, "mrope_section": [2, 2, 2, 2]},
        },
        "vision_config": {**_VISION, "num_key_value_heads": 2, "out_hidden_size": 64, "text_hidden_size": 64},
    },
    "granite4_vision": {
        **{"text_config": _TEXT, "vision_config": {**_VISION, "hidden_size": 64}, "downsample_rate": "1/2"},
        **{"deepstack_layer_map": [[0, 1]], "spatial_target_layers": [1]},
        "qformer_config": {**_VISION, "encoder_hidden_size": 64, "vocab_size": 100, "cross_attention_frequency": 1},
    },
    "kimi_k25": {
        "text_config": {**_TEXT, **_EXPERTS, **_LATENT, "first_k_dense_replace": 1},
        "vision_config": {**_VISION, "pos_emb_height": 4, "pos_emb_width": 4, "pos_emb_time": 2},
        "projection_hidden_size": 32,
    },
    "qwen2_5_omni_thinker": {
        "text_config": {**_TEXT, "rope_parameters": _PARTS_OF_HEADS},
        "vision_config": _GRID,
        "audio_config": _HEARING,
        **_OMNI_IDS,
    },
    "qwen3_omni_moe_thinker": {
        "text_config": {
            **{**_TEXT, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2},
            "rope_parameters": _PARTS_OF_HEADS,
        },
        "vision_config": _GRID,
        "audio_config": _HEARING,
        **_OMNI_IDS,
    },
    "fun_asr_nano": {
        "text_config": {**_TEXT, "head_dim": 16},
        "audio_config": {**_VISION, "num_mel_bins": 8, "num_timestamp_prediction_layers": 1, "fsmn_kernel_size": 3},
        "adaptor_config": {**_VISION, "hidden_size": 64, "intermediate_size": 16, "projector_hidden_size": 64},
    },
    "lfm2_vl": {"text_config": {**_TEXT, "layer_types": ["conv", "full_attention"]}, "vision_config": _VISION},
    "llama4": {
        "text_config": {
            **{**_TEXT, "head_dim": 16, "intermediate_size_mlp": 96, "num_local_experts": 4, "num_experts_per_tok": 1},
            **{"attention_chunk_size": 96, "no_rope_layers": [1, 0], "interleave_moe_layer_step": 2, "floor_scale": 16},
        },
        "vision_config": {
            **{**_VISION, "vision_output_dim": 64, "projector_input_dim": 64, "projector_output_dim": 64},
        },
    },
    "mllama": {
        "text_config": {**_TEXT, "num_hidden_layers": 3, "cross_attention_layers": [1]},
        "vision_config": {
            **{**_VISION, "attention_heads": 2, "num_global_layers": 1, "vision_output_dim": 64},
            "intermediate_layers_indices": [0],
        },
    },
    "mistral3/mistral4": {
        "text_config": {**_TEXT, **_EXPERTS, **_LATENT, "model_type": "mistral4", "rope_parameters": _SCALED_QUERIES},
        "vision_config": _VISION,
    },
    "mistral4": {**_TEXT, **_EXPERTS, **_LATENT, "rope_parameters": _SCALED_QUERIES},
    "molmo2": {
        "text_config": {**_TEXT, "head_dim": 16, "additional_vocab_size": 8, "rope_scaling_layers": [0, 1]},
        "vision_config": {
            **{**_VISION, "num_key_value_heads": 2, "head_dim": 16, "num_position_embeddings": 4},
            "image_size": [28, 28],
        },
        "adapter_config": {
            **{"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16},
            **{"intermediate_size": 48, "text_hidden_size": 64, "vision_feature_layer": [0]},
        },
    },
    "vibevoice_asr": {
        **{"text_config": _TEXT, "acoustic_tokenizer_encoder_config": _SOUND},
        "semantic_tokenizer_encoder_config": _SOUND,
    },
    "minimax_m3_vl": {
        "text_config": {
            **{**_TEXT, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "rotary_dim": 8},
            **{"dense_intermediate_size": 96, "shared_intermediate_size": 48, "mlp_layer_types": ["dense", "sparse"]},
            **{"index_n_heads": 2, "index_head_dim": 16, "index_block_size": 8},
        },
        "vision_config": _VISION,
        **{"projector_hidden_size": 64, "merged_hidden_size": 64},
    },
    "muse_glimmer": {
        "text_config": {**_TEXT, **_MUSE, "layer_rope_theta": [10000.0, 0], "num_key_value_heads": 2},
        **{"vision_config": _MUSE_VISION, "out_hidden_size": 64, "projector_hidden_size": 32},
    },
    "muse_spark": {
        "text_config": {
            **{**_TEXT, **_MUSE, "layer_rope_theta": [10000.0, 0], "moe_intermediate_size": 32, "moe_hidden_size": 32},
            **{"num_local_experts": 4, "num_experts_per_tok": 2, "mlp_layer_types": ["dense", "sparse"]},
        },
        **{"vision_config": _MUSE_VISION, "out_hidden_size": 64, "projector_hidden_size": 32},
        "audio_config": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "out_hidden_size": 64},
    },
    "perception_lm": {"text_config": _TEXT, "vision_config": {"model_args": {"embed_dim": 32}}},
    "step3p7": {
        "text_config": {
            **{**_TEXT, "head_dim": 16, "sliding_window": 8, "moe_intermediate_size": 32, "n_routed_experts": 4},
            **{"num_experts_per_tok": 2, "share_expert_dim": 32, "num_sliding_attention_heads": 4},
            **{"layer_types": _TWO_LENGTHS, "mlp_layer_types": ["dense", "sparse"]},
        },
        "vision_config": _VISION,
    },
    "unlimited_ocr": {
        "text_config": {
            **{**_TEXT, **_EXPERTS, "head_dim": 16, "num_key_value_heads": 4, "sliding_window": 8},
            **{"mlp_layer_types": ["dense", "sparse"], "layer_types": ["reference_sliding_attention"] * 2},
        },
        "vision_config": _OCR,
    },
    "deepseek_ocr2": {
        "text_config": {
            **{**_TEXT, **_EXPERTS, "head_dim": 16, "num_key_value_heads": 4, "n_group": 1, "topk_group": 1},
            "mlp_layer_types": ["dense", "sparse"],
        },
        "vision_config": {**_OCR, "encoder_config": _TEXT},
    },
}
