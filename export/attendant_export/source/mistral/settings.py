"""Makes the config of a model, as transformers has it, of Mistral's ``params.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attendant_export.errors import SourceError, UnsupportedModel

_ARCHITECTURE = "mistral"
_SIZES = ("dim", "n_layers", "head_dim", "hidden_dim", "n_heads", "n_kv_heads", "vocab_size")
_LENGTHS = ("max_position_embeddings", "max_seq_len")
_DEFAULT_LENGTH = 32_768
_AS_USUAL = {
    "model_type": ("transformer",),
    "use_biases": (False,),
    "causal": (True,),
    "sliding_window": (None,),
    **dict.fromkeys(("moe", "lora", "quantization", "yarn", "llama_4_scaling", "vision_encoder"), (None,)),
}
"""Fields that say how a model differs from a plain one, and what of them is read; a window is, too, as a number."""
_NO_MATTER = ("max_batch_size", "num_pipeline_ranks")
_FIELDS = {*_SIZES, *_LENGTHS, *_AS_USUAL, *_NO_MATTER, "norm_eps", "rope_theta", "tied_embeddings"}


def model_config(path: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Content of a config.json.

    Raises:
        UnsupportedModel: a field says that the model is no plain one; names it.
        SourceError: a field is missing, or no number; names it.
    """
    window = params.get("sliding_window")
    if not _is_size(window):
        window = None
    for name, value in params.items():
        if name not in _FIELDS:
            raise UnsupportedModel(_ARCHITECTURE, f"{path} has a field {name!r}, which is not known here")
        allowed = _AS_USUAL.get(name)
        if allowed is not None and value not in allowed and not (name == "sliding_window" and window is not None):
            raise UnsupportedModel(
                _ARCHITECTURE, f"{path} says {name} {value!r}; of Mistral's own format plain models are read alone"
            )
    sizes = {name: params.get(name) for name in _SIZES}
    wrong = next((name for name, value in sizes.items() if not _is_size(value)), None)
    if wrong is not None:
        raise SourceError(f"{path}: {wrong} is {sizes[wrong]!r}; it must be a positive whole number")
    lengths = [params[name] for name in _LENGTHS if name in params] or [_DEFAULT_LENGTH]
    if not all(map(_is_size, lengths)):
        raise SourceError(f"{path}: the greatest length is {lengths[0]!r}; it must be a positive whole number")
    numbers = {name: params.get(name) for name in ("norm_eps", "rope_theta")}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise SourceError(f"{path}: {name} is {value!r}; it must be a positive number")
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": _ARCHITECTURE,
        "hidden_size": sizes["dim"],
        "num_hidden_layers": sizes["n_layers"],
        "head_dim": sizes["head_dim"],
        "intermediate_size": sizes["hidden_dim"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": sizes["n_kv_heads"],
        "vocab_size": sizes["vocab_size"],
        "max_position_embeddings": lengths[0],
        "rms_norm_eps": numbers["norm_eps"],
        "rope_parameters": {"rope_type": "default", "rope_theta": float(numbers["rope_theta"] or 0)},
        "sliding_window": window,
        "tie_word_embeddings": bool(params.get("tied_embeddings", False)),
        "dtype": "float32",
    }


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
