"""Makes the config of a model, as transformers has it, of a GGUF file's metadata and the sizes of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.source.gguf.families import FAMILIES
from attendant_export.source.gguf.file import GgufFile
from attendant_export.source.gguf.rotary import rope_parameters, scaling, shortest

_GEMMA3_PATTERN, _LOCAL_BASE = 6, 10000.0
_LARGEST_GEMMA = {"gemma2": 46, "gemma3": 62}
"""Layers of the two of 27 billion weights, which divide their queries by another number."""

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}


def check_architecture(file: GgufFile) -> None:
    """Refuses what is no language model of a known family.

    Raises:
        SourceError: a projector of images, an adapter.
        UnsupportedModel: another architecture; names those that are read.
    """
    kind = file.fields.get("general.type", "model")
    if kind == "mmproj" or file.architecture == "clip":
        raise SourceError(f"{file.path} is the projector of a multimodal model (mmproj), not its language model")
    if kind == "adapter":
        raise SourceError(f"{file.path} is an adapter alone, no model")
    if file.architecture not in FAMILIES:
        raise UnsupportedModel(
            file.architecture, f"GGUF files of this architecture are not read; read are {', '.join(FAMILIES)}"
        )
    if file.fields.get(f"{file.architecture}.expert_count"):
        raise UnsupportedModel(file.architecture, "its layers have experts, which are not read from GGUF")


def model_config(file: GgufFile) -> dict[str, Any]:
    """Content of a config.json.

    Raises:
        SourceError: a field is missing or not as it is read; names it.
    """
    family = FAMILIES[file.architecture]
    table = file.tensors.get("token_embd.weight")
    if table is None:
        raise SourceError(f"{file.path} has no tensor token_embd.weight")
    common = {
        "architectures": [_ARCHITECTURES[family.model_type]],
        "model_type": family.model_type,
        "vocab_size": table.shape[0],
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "dtype": "float32",
    }
    if family.model_type == "gpt2":
        return common | _gpt2(file)
    own = _OWN.get(file.architecture)
    rotated = common | _rotating(file)
    return rotated | (own(file, rotated) if own else {})


def head_counts(file: GgufFile) -> tuple[int, int]:
    """Heads of queries, and of keys."""
    prefix = f"{file.architecture}.attention."
    heads = file.field(f"{prefix}head_count", int)
    return heads, file.field(f"{prefix}head_count_kv", int, heads)


def _rotating(file: GgufFile) -> dict[str, Any]:
    """What all have in common whose positions rotate queries and keys."""
    arch, (heads, kv_heads) = file.architecture, head_counts(file)
    width = file.field(f"{arch}.embedding_length", int)
    size = file.field(f"{arch}.attention.key_length", int, width // max(heads, 1))
    other = file.field(f"{arch}.attention.value_length", int, size)
    if other != size:
        raise SourceError(
            f"{file.path}: heads have keys of {size} and values of {other} channels; both have to be equal"
        )
    return {
        "hidden_size": width,
        "intermediate_size": file.field(f"{arch}.feed_forward_length", int),
        "num_hidden_layers": file.field(f"{arch}.block_count", int),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": size,
        "max_position_embeddings": file.field(f"{arch}.context_length", int),
        "rms_norm_eps": shortest(file.field(f"{arch}.attention.layer_norm_rms_epsilon", float)),
        "rope_parameters": rope_parameters(file, size),
    }


def _gpt2(file: GgufFile) -> dict[str, Any]:
    return {
        "n_embd": file.field("gpt2.embedding_length", int),
        "n_layer": file.field("gpt2.block_count", int),
        "n_head": file.field("gpt2.attention.head_count", int),
        "n_inner": file.field("gpt2.feed_forward_length", int),
        "n_positions": file.field("gpt2.context_length", int),
        "layer_norm_epsilon": shortest(file.field("gpt2.attention.layer_norm_epsilon", float)),
        "activation_function": "gelu_new",
    }


def _llama(file: GgufFile, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.tensors,
    }


def _mistral(file: GgufFile, config: dict[str, Any]) -> dict[str, Any]:
    return {"sliding_window": _window(file)}


def _phi3(file: GgufFile, config: dict[str, Any]) -> dict[str, Any]:
    trained = config["rope_parameters"].get("original_max_position_embeddings", config["max_position_embeddings"])
    window = _window(file)
    return {
        "original_max_position_embeddings": trained,
        "sliding_window": window if window is not None and window < config["max_position_embeddings"] else None,
        # transformers' defaults are tokens of Phi-3's own vocabulary
        **{f"{role}_token_id": None for role in ("bos", "eos", "pad")},
    }


def _gemma(file: GgufFile, config: dict[str, Any]) -> dict[str, Any]:
    return {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}


def _gemma2(file: GgufFile, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": _divisor(file, config),
        "sliding_window": _window(file),
        "attn_logit_softcapping": _cap(file, "attn"),
        "final_logit_softcapping": _cap(file, "final"),
    }


def _gemma3(file: GgufFile, config: dict[str, Any]) -> dict[str, Any]:
    layers = config["num_hidden_layers"]
    pattern = file.fields.get("gemma3.attention.sliding_window_pattern", _GEMMA3_PATTERN)
    local = pattern if isinstance(pattern, list) else [(layer + 1) % int(pattern) != 0 for layer in range(layers)]
    base = shortest(file.field("gemma3.rope.freq_base_swa", float, _LOCAL_BASE))
    theta = shortest(file.field("gemma3.rope.freq_base", float, 1_000_000.0))
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": _divisor(file, config),
        "sliding_window": _window(file),
        "layer_types": ["sliding_attention" if each else "full_attention" for each in local],
        "final_logit_softcapping": _cap(file, "final"),
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": theta} | scaling(file),
            "sliding_attention": {"rope_type": "default", "rope_theta": base},
        },
    }


_OWN: dict[str, Callable[[GgufFile, dict[str, Any]], dict[str, Any]]] = {
    "llama": _llama,
    "mistral": _mistral,
    "phi3": _phi3,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
}


def _divisor(file: GgufFile, config: dict[str, Any]) -> int:
    """Scores are divided by its root: a head's size, but in the largest models the width for each head."""
    if config["num_hidden_layers"] == _LARGEST_GEMMA[file.architecture]:
        return int(config["hidden_size"] // config["num_attention_heads"])
    return int(config["head_dim"])


def _window(file: GgufFile) -> int | None:
    return file.field(f"{file.architecture}.attention.sliding_window", int, 0) or None


def _cap(file: GgufFile, which: str) -> float | None:
    return shortest(file.field(f"{file.architecture}.{which}_logit_softcapping", float, 0.0)) or None
