"""Which architectures can become a decoder graph, decided before the work starts where a config can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attendant.bundle import Target

from attendant_export.errors import SourceError, UnknownArchitecture, UnsupportedModel
from attendant_export.source.parts import causal_class
from attendant_export.tracing.positions import reserved_positions

# What no config field or class attribute tells. Everything else that cannot be exported is found while tracing.
_CODES = "it writes codes of sound, several at each position"
_UNSUPPORTED = {
    "musicgen_decoder": _CODES,
    "musicgen_melody_decoder": _CODES,
    "cpmant": "it puts trained tokens before each text and biases scores by segments",
    "xlnet": "it foresees tokens in any order, with two streams of attention and memories of segments",
    "prophetnet": "it has a stream for each of several tokens that it foresees",
}
_ATTENTION_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention", "attention"})
_CONTEXT_FIELDS = (
    *("max_position_embeddings", "max_target_positions", "n_positions", "max_seq_len", "seq_length", "n_ctx"),
)
# ALiBi models have no position table; this is the length they were trained at.
_CONTEXT_DEFAULTS = {"bloom": 2048}


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses what a config.json shows to be out of reach.

    Raises:
        SourceError: no model type.
        UnsupportedModel: a known model type that the decoder graph has no place for.
        UnknownArchitecture: a model type that transformers does not know.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    architecture = config.get("model_type")
    if not isinstance(architecture, str):
        raise SourceError("config.json has no model_type")
    if architecture in _UNSUPPORTED:
        raise UnsupportedModel(architecture, _UNSUPPORTED[architecture])
    if config.get("is_encoder_decoder"):
        raise UnsupportedModel(architecture, "it is an encoder-decoder; only decoder-only models are exported")
    if architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and causal_class(config) == "AutoModelForCausalLM":
        if architecture in CONFIG_MAPPING:
            name = next(iter(config.get("architectures") or ()), "it")
            reason = (
                f"transformers has no causal language model of this type, and {name} has no other task that is served"
            )
            raise UnsupportedModel(architecture, reason)
        raise UnknownArchitecture(architecture, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    _check_layer_types(architecture, config.get("layer_types") or ())


def check_layers(architecture: str, config: Any) -> None:
    """Refuses a kind of layer that the config of a model of text names and no graph has a place for.

    Raises:
        UnsupportedModel: names it.
    """
    _check_layer_types(architecture, getattr(config, "layer_types", None) or ())


def check_model(model: Any) -> None:
    """Refuses what only the loaded model shows.

    Raises:
        UnsupportedModel: recurrent or convolution state, an encoder, or weights that are not float32.
    """
    architecture = str(model.config.model_type)
    layer_types = getattr(model.config.get_text_config(), "layer_types", None) or ()
    _check_layer_types(architecture, layer_types)
    # A hybrid family can have members that are all attention.
    if getattr(model, "_is_stateful", False) and not layer_types:
        raise UnsupportedModel(architecture, "it keeps recurrent or convolution states beside the KV cache")
    if model.config.is_encoder_decoder:
        raise UnsupportedModel(architecture, "it is an encoder-decoder; only decoder-only models are exported")
    if not hasattr(model, "get_output_embeddings") or model.get_output_embeddings() is None:
        raise UnsupportedModel(architecture, "it has no language-model head")
    if str(model.dtype) != "torch.float32":
        raise UnsupportedModel(architecture, f"its weights are {model.dtype}; load it with dtype=torch.float32")


def _check_layer_types(architecture: str, layer_types: Sequence[str]) -> None:
    strange = sorted(set(layer_types) - _ATTENTION_LAYERS)
    if strange:
        raise UnsupportedModel(architecture, f"it has {', '.join(strange)} layers; only attention is exported")


def context_length(model: Any, target: Target = "cpu") -> int:
    """How many positions the model takes in a bundle for ``target``, scalings of its rotary embeddings included.

    Raises:
        UnsupportedModel: its config does not say.
    """
    from attendant_export.decoders.rope import changing_frequencies, extended_length, frequency_limit

    config = model.config.get_text_config()
    architecture = str(model.config.model_type)
    lengths = (getattr(config, name, None) for name in _CONTEXT_FIELDS)
    length = next((value for value in lengths if isinstance(value, int) and value > 0), None)
    length = length or _CONTEXT_DEFAULTS.get(architecture)
    if length is None:
        raise UnsupportedModel(architecture, f"its config has none of {', '.join(_CONTEXT_FIELDS)}")
    length = extended_length(model, length - reserved_positions(model))
    limits = [whole_attention_limit(model), None if changing_frequencies(model, target) else frequency_limit(model)]
    return min(length, *(limit for limit in limits if limit is not None), length)


def whole_attention_limit(model: Any) -> int | None:
    """How many tokens attention in chunks or blocks takes as a whole; beyond them it is neither causal nor a window."""
    config = model.config.get_text_config()
    limits = []
    if getattr(config, "attention_type", None) == "block_sparse" and hasattr(model.base_model, "set_attention_type"):
        limits.append(whole_blocks(config))
    if "chunked_attention" in (getattr(config, "layer_types", None) or ()):
        limits.append(int(config.attention_chunk_size))
    return min(limits, default=None)


def whole_blocks(config: Any) -> int:
    """How many tokens BigBird and BigBird-Pegasus attend to as a whole, whatever their config says of blocks."""
    return (5 + 2 * int(config.num_random_blocks)) * int(config.block_size)
