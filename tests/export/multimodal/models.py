"""The smallest random model of a type that reads more than text, of what transformers has as its defaults."""

from __future__ import annotations

import copy
from typing import Any

import torch
from attendant_export.source.left_out import LeftOut

from tests.export.multimodal.sizes import SIZES

_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_LARGEST = 390
_EXPERTS = dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4)
_TEXT = {
    **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 400, "head_dim": 16},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "ffn_dim": 96},
    **{"word_embed_proj_dim": 64, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
    **{"num_experts_per_tok": 2, "n_shared_experts": 1, **_EXPERTS},
}
_OTHER = {
    **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "depth": 1, "num_layers": 1},
    **{"num_attention_heads": 2, "num_heads": 2, "embed_dim": 32, "out_hidden_size": 64, "image_size": 28},
    **{"patch_size": 14, "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32},
    "projection_dim": 64,
}
_MROPE = [2, 3, 3]  # of heads of 16
RIGHT = (
    *("llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mistral3", "internvl", "paligemma", "gemma3", "phi4_multimodal"),
    *("llava_next", "llava_next_video", "video_llava", "vipllava", "idefics3", "smolvlm", "deepseek_vl"),
    *("deepseek_vl_hybrid", "janus", "glmasr", "voxtral", "qwen3_vl_moe", "llava_onevision", "got_ocr2"),
    *("pp_chart2table", "ovis2", "video_llama_3", "qwen2_audio", "qwen3_asr", "lighton_ocr", "qianfan_ocr"),
    *("moss_transcribe_diarize", "cosmos3_omni", "aya_vision"),
    *("cohere2_vision", "exaone4_5", "fuyu", "granite_speech", "granite_speech_plus", "hyperclovax_vision_v2"),
    *("cosmos3_edge", "glm4v", "glm_ocr", "paddleocr_vl", "mllama", "gemma4", "gemma4_unified", "gemma3n"),
    *("chameleon", "emu3", "kimi_k25", "glm46v", "glmga", "glm4v_moe", "ernie4_5_vl_moe", "hunyuan_vl"),
    *("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker", "qwen2_5_omni", "qwen3_omni_moe", "mistral3/mistral4"),
    *("deepseek_ocr2", "granite4_vision", "llama4", "aria"),
    *("cohere_compass", "step3p7", "vibevoice_asr", "idefics2", "molmo2", "fun_asr_nano", "granite_docling"),
    *("muse_glimmer", "muse_spark", "minimax_m3_vl", "fast_vlm", "perception_lm"),
)
"""Whose language model answers texts as the whole does."""


def classes() -> dict[str, str]:
    """By type, the class of each model of transformers that reads images or sound and writes text."""
    from transformers.models.auto import modeling_auto as auto

    return {**auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES}


def config_of(name: str) -> Any:
    """The config of a small model of this type, or of a form of it that stands behind a "/"."""
    import transformers

    given = SIZES.get(name, {})
    config = transformers.CONFIG_MAPPING[name.partition("/")[0]](**copy.deepcopy(dict(given)))
    for part in config.sub_configs:
        if getattr(config, part, None) is not None and part not in given:
            _shrink(getattr(config, part), _TEXT if part == "text_config" else _OTHER)
    _shrink(config, {"projection_dim": _TEXT["hidden_size"]})
    text = config.get_text_config()
    if text is config and not given:
        _shrink(config, _TEXT)
    for field, value in config.to_dict().items():
        if field.endswith(("_token_id", "_token_index")) and isinstance(value, int) and value > _LARGEST:
            setattr(config, field, _LARGEST)
    rope = getattr(text, "rope_parameters", None)
    has_sections = any(part in name for part in ("_vl", "glm", "_ocr"))
    if not given and isinstance(rope, dict) and ("mrope_section" in rope or has_sections):
        rope["mrope_section"] = list(_MROPE)
    return config


def make_whole(name: str) -> Any:
    """A random model of this type (see :func:`config_of`) in float32, with eager attention, in eval mode; the same each
    time. Where its other parts need a package that is not installed, it has none."""
    import transformers

    model_class = getattr(transformers, classes()[name.partition("/")[0]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with LeftOut().building():
            model = model_class._from_config(config_of(name), attn_implementation="eager")
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 4  # spreads the logits
    return model.eval().float()


def _shrink(config: Any, sizes: dict[str, int]) -> None:
    for field, size in sizes.items():
        value = getattr(config, field, None)
        if isinstance(value, int) and not isinstance(value, bool):
            setattr(config, field, size)
    for field, token in _IDS.items():
        if isinstance(getattr(config, field, None), int | list):
            setattr(config, field, token)
    kinds = getattr(config, "layer_types", None)
    if kinds:
        config.layer_types = [kinds[0], kinds[-1]]
