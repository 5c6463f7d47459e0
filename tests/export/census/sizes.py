"""The smallest config of a model type: its config class with small sizes for the fields that it has.

Known small configs of other tests come first. Sizes of fields that many classes have are in ``_SIZES``; what one type
needs beyond them is in :mod:`tests.export.census.needs`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tests.export.architectures import ARCHITECTURES
from tests.export.census.needs import NEEDS

VOCAB, LARGEST_TEXT_ID = 512, 480  # ids from there on are those of images, sound and the like
WINDOW = 8
_LAYERS = (
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_blocks"),
    *("num_encoder_layers", "num_decoder_layers", "depth", "encoder_num_layers"),
)
_GROUPS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (VOCAB, ("vocab_size", "n_words", "vocab_size_per_layer_input", "src_vocab_size", "tgt_vocab_size")),
    (VOCAB, ("decoder_vocab_size", "unpadded_vocab_size", "text_vocab_size")),
    (64, ("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_dim", "word_embed_proj_dim", "lru_width")),
    (64, ("embed_dim", "encoder_hidden_size", "backbone_hidden_size", "attention_hidden_size", "hidden_dim")),
    (2, _LAYERS),
    (4, ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "attention_heads")),
    (4, ("decoder_attention_heads", "num_encoder_attention_heads", "num_decoder_attention_heads")),
    (4, ("swa_num_attention_heads", "encoder_num_attention_heads", "index_n_heads", "linear_num_heads")),
    (2, ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads", "num_query_groups")),
    (16, ("head_dim", "d_kv", "kv_channels", "dim_head", "d_head", "attention_head_size", "swa_head_dim")),
    (16, ("global_head_dim", "linear_head_dim", "index_head_dim", "attention_head_dim")),
    (16, ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "o_lora_rank", "index_topk")),
    (32, ("q_lora_rank", "qk_head_dim", "embedding_size", "input_embedding_size", "output_embedding_size")),
    (128, ("intermediate_size", "d_ff", "dff", "ffn_dim", "ffn_hidden_size", "d_inner", "dim_ff", "n_inner")),
    (128, ("encoder_ffn_dim", "decoder_ffn_dim", "feed_forward_size", "intermediate_size_mlp")),
    (128, ("dense_intermediate_size", "mlp_dim", "encoder_intermediate_size")),
    (64, ("shared_intermediate_size", "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")),
    (32, ("moe_intermediate_size", "expert_ffn_hidden_size", "shared_experts_intermediate_size", "expert_hidden_size")),
    (4, ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "zero_expert_num")),
    (2, ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "moe_top_k")),
    (
        1,
        (
            "n_group",
            "topk_group",
            "num_expert_group",
            "first_k_dense_replace",
            "n_shared_experts",
            "router_hidden_size",
        ),
    ),
    (1, ("num_shared_experts", "moe_num_shared_experts", "moe_layer_interval")),
    (128, ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "model_max_length", "max_seq_length")),
    (128, ("context_length", "max_target_positions", "max_source_positions", "max_2d_position_embeddings")),
    (WINDOW, ("sliding_window", "window_size", "attention_window_size", "sliding_window_size", "local_attention")),
    (WINDOW, ("attention_chunk_size", "keep_window_size", "local_attention_window_len", "attention_window")),
    (16, ("hidden_size_per_layer_input", "mamba_d_state", "state_size", "ssm_state_size", "time_step_rank")),
    (16, ("mamba_d_head", "mamba_head_dim", "mamba_headdim", "linear_key_head_dim", "linear_value_head_dim")),
    (8, ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "mamba_dt_rank", "laurel_rank", "adapter_rank")),
    (4, ("linear_num_key_heads", "linear_num_value_heads", "conv_kernel", "linear_conv_kernel_dim")),
    (8, ("rotary_dim", "mamba_chunk_size", "chunk_size", "num_mel_bins", "projection_dim", "gated_norm_rank")),
    (32, ("image_size", "pronunciation_embed_dim", "shape_embed_dim", "original_max_position_embeddings")),
)
_SIZES = {field: size for size, fields in _GROUPS for field in fields}
_IDS = {
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
    **{"decoder_start_token_id": 1, "mask_token_id": 300, "unk_token_id": 3, "eod_token_id": 2, "pad_index": 0},
    **{"forced_eos_token_id": None, "forced_bos_token_id": None},
    **{"suppress_tokens": None, "begin_suppress_tokens": None},
}
_MOST_LAYERS = 6


def known(model_type: str) -> Mapping[str, Any] | None:
    """The small config that tests of decoders have of a type."""
    names = [name for name in ARCHITECTURES if name.split("/")[0] == model_type]
    return ARCHITECTURES[names[0]] if names else None


def small_config(
    config_class: type, more: Mapping[str, Any] | None = None, fields: Mapping[str, Any] | None = None
) -> Any:
    """A small config of ``config_class``.

    Args:
        more: fields that go before the small sizes; of a part where the value is a mapping.
        fields: all fields, if they are known: then nothing is guessed.
    """
    if fields is not None:
        return config_class(**{**fields, **(more or {})})
    model_type = getattr(config_class, "model_type", "")
    needs = {**NEEDS.get(model_type, {}), **(more or {})}
    default = _default(config_class, needs)
    names = {field.name for field in dataclasses.fields(config_class)}
    given = _sizes_of(default, names)
    given.update(_layers_of(default, names))
    for part in getattr(config_class, "sub_configs", {}):
        below = _value(default, part)
        if below is not None:
            given[part] = small_config(type(below), needs.pop(part, None), known(below.model_type))
    given.update(_ids_of(default, names))
    return config_class(**{**given, **needs})


def _default(config_class: type, needs: Mapping[str, Any]) -> Any:
    """The config of its defaults; where it has none, of what it needs."""
    try:
        return config_class()
    except Exception:  # noqa: BLE001 - config classes check what they want
        return config_class(**needs)


def _value(default: Any, name: str) -> Any:
    """Of a field; of its class where layers differ in it."""
    try:
        return getattr(default, name, None)
    except RuntimeError:
        return getattr(type(default), name, None)


def _sizes_of(default: Any, names: set[str]) -> dict[str, Any]:
    found = {}
    for name, size in _SIZES.items():
        value = _value(default, name) if name in names else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            found[name] = size
    heads, kv_heads = _value(default, "num_attention_heads"), _value(default, "num_key_value_heads")
    if "num_key_value_heads" in found and heads == kv_heads:
        found["num_key_value_heads"] = found.get("num_attention_heads", 4)
    return found


def _layers_of(default: Any, names: set[str]) -> dict[str, Any]:
    """As many layers as there are kinds of them, at least two, and what each list has for one of each kind."""
    field = next((name for name in _LAYERS if name in names and isinstance(_value(default, name), int)), None)
    if field is None:
        return {}
    count = _value(default, field)
    lists = {
        name: list(value)
        for name in names
        if isinstance(value := _value(default, name), list | tuple) and len(value) == count and count > 3
    }
    if not lists:
        return {}
    kinds = list(zip(*lists.values(), strict=True))
    chosen = sorted({kind: index for index, kind in reversed(list(enumerate(map(str, kinds))))}.values())[:_MOST_LAYERS]
    if len(chosen) == 1:
        chosen = [0, 1]
    result: dict[str, Any] = {name: [_small(name, value[index]) for index in chosen] for name, value in lists.items()}
    return {**result, field: len(chosen)}


def _small(name: str, value: Any) -> Any:
    """An entry of a list that has one for each layer."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return _SIZES.get(name.removesuffix("_per_layer"), value)


def _ids_of(default: Any, names: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: token for name, token in _IDS.items() if name in names and _is_set(default, name)}
    if "pad_token_id" in names:  # no checkpoint is without
        found["pad_token_id"] = _IDS["pad_token_id"]
    other = LARGEST_TEXT_ID
    for name in sorted(names - set(_IDS)):
        value = _value(default, name)
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int) and value > 2:
            found[name] = other
            other += 1
    return found


def _is_set(default: Any, name: str) -> bool:
    return _value(default, name) is not None
