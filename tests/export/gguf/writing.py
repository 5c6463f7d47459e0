"""Writes GGUF files of tiny random models as llama.cpp's converter does: names by the table of the package gguf."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
import transformers
from attendant_export.source.gguf.splits import SPLITS, pre_tokenizer
from tokenizers import Tokenizer, decoders, models, trainers

from tests.export.gguf.blocks import blocks_of
from tests.export.gguf.weights import spread

TEXT = Path(__file__).read_text(encoding="utf-8") * 2 + "Le café est là. 東京都に行く 12345 \U0001f600 naïve\n" * 9
SPECIAL = ("<|begin|>", "<|im_end|>")
TEMPLATE = "{% for m in messages %}<|begin|>{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
NAMES = {"gemma3_text": "gemma3"}
"""llama.cpp's names of architectures, where transformers has others."""

_ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
_SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "max_position_embeddings": 128}
_LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_PHI3_LONG = {"rope_type": "longrope", "rope_theta": 1e4, "long_factor": [1.5] * 8, "short_factor": [1.25] * 8}

CONFIGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("LlamaConfig", {"tie_word_embeddings": True}),
    "llama-biased": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "llama-3": ("LlamaConfig", {"rope_parameters": {**_LLAMA3, "original_max_position_embeddings": 8192}}),
    "llama-linear": ("LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
    "mistral": ("MistralConfig", {"sliding_window": 16}),
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2-yarn": (
        "Qwen2Config",
        {
            "rope_parameters": {
                **{"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6},
                "original_max_position_embeddings": 32,
            }
        },
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 32}),
    "gemma": ("GemmaConfig", {"head_dim": 32}),
    "gemma2": ("Gemma2Config", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16}),
    "gemma3": (
        "Gemma3TextConfig",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "num_hidden_layers": 7},
    ),
    "phi3": ("Phi3Config", {"pad_token_id": None, "sliding_window": 16}),
    "phi3-long": (
        "Phi3Config",
        {
            **{"pad_token_id": None, "original_max_position_embeddings": 64},
            "rope_parameters": {**_PHI3_LONG, "original_max_position_embeddings": 64},
        },
    ),
    "gpt2": ("GPT2Config", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 128}),
}
"""Classes and settings of configs, by a name of ours."""


@dataclass
class Written:
    """A file that :func:`write` made.

    Attributes:
        model: the same model in torch, with the weights that the file's types hold.
        skipped: names of tensors that are left out.
    """

    path: Path
    model: Any
    skipped: list[str] = field(default_factory=list)


def make_model(name: str, seed: int = 0, **changed: Any) -> Any:
    """The random model ``name`` of :data:`CONFIGS`, float32."""
    config_class, own = CONFIGS[name]
    shape = {} if config_class == "GPT2Config" else {**_SMALL, **_ATTENTION}
    settings = {**shape, "vocab_size": byte_tokenizer().get_vocab_size(), **own, **changed}
    torch.manual_seed(seed)
    config = getattr(transformers, config_class)(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    spread(model, 3)
    return model


def byte_tokenizer(split: str = "llama-bpe") -> Tokenizer:
    """A byte-level tokenizer of 400 tokens, with two special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(SPLITS[split])
    tokenizer.decoder = decoders.ByteLevel()
    from tokenizers.pre_tokenizers import ByteLevel

    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    return tokenizer


def byte_words(writer: gguf.GGUFWriter, split: str = "llama-bpe") -> None:
    """Writes :func:`byte_tokenizer` and a template."""
    import json

    tokenizer = byte_tokenizer(split)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in SPECIAL else 1 for token, _ in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)


def sentencepiece_model(**options: Any) -> bytes:
    """A trained SentencePiece model, BPE with bytes for what it does not know."""
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        **{
            **{"sentence_iterator": iter(TEXT.splitlines()), "model_writer": made, "model_type": "bpe"},
            **{"vocab_size": 500, "byte_fallback": True, "normalization_rule_name": "identity", "num_threads": 1},
            **{"remove_extra_whitespaces": False, "minloglevel": 2, "character_coverage": 0.98, **options},
        }
    )
    return made.getvalue()


def sentencepiece_words(writer: gguf.GGUFWriter, model: bytes, *, prefix: bool = True) -> None:
    """Writes a SentencePiece model, as llama.cpp's converter does."""
    import sentencepiece

    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokens, scores, kinds = [], [], []
    for index in range(read.vocab_size()):
        tokens.append(read.id_to_piece(index))
        scores.append(read.get_score(index))
        flags = (read.is_unknown(index), read.is_control(index), read.is_byte(index))
        kinds.append(next((kind for kind, flag in zip((2, 3, 6), flags, strict=True) if flag), 1))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_add_space_prefix(prefix)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def write(
    path: Path,
    model: Any,
    type_of: Callable[[str], str] = lambda name: "F32",
    words: Callable[[gguf.GGUFWriter], None] = byte_words,
    architecture: str | None = None,
    skip: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
) -> Written:
    """Writes ``model`` and gives its tensors, in place, the values that the file holds.

    Args:
        type_of: a tensor's type by llama.cpp's name, of those with two dimensions.
        skip: tensors, by llama.cpp's names, that are left out. more: fields of the metadata besides, texts or numbers.
    """
    config = model.config
    name = architecture or NAMES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, name)
    _settings(writer, config, name)
    for key, value in (more or {}).items():
        {str: writer.add_string, int: writer.add_uint32, bool: writer.add_bool}[type(value)](key, value)
    words(writer)
    kind = next(kind for kind, text in gguf.MODEL_ARCH_NAMES.items() if text == name.replace("mistral", "llama"))
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            known = names.get_name(key, try_suffixes=(".weight", ".bias"))
            assert known is not None, key
            if known in skip:
                continue
            form = type_of(known) if weight.ndim == 2 else "F32"
            there, back = _turns(known, config)
            values = there(weight.numpy())
            data = blocks_of(form, values) if form != "F32" else values
            writer.add_tensor(known, data, raw_dtype=gguf.GGMLQuantizationType[form])
            if form != "F32":
                held = gguf.dequantize(data, gguf.GGMLQuantizationType[form])
                weight.copy_(torch.from_numpy(np.ascontiguousarray(back(held))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Written(path, model, list(skip))


Array = npt.NDArray[Any]


def _turns(name: str, config: Any) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """What llama.cpp's converter does to a tensor of transformers, and what undoes it."""
    part, kind = name.split(".")[-2:], config.model_type
    if kind in ("llama", "mistral") and part[0] in ("attn_q", "attn_k"):
        heads = config.num_attention_heads if part[0] == "attn_q" else config.num_key_value_heads

        def pairs(values: Array) -> Array:  # LlamaModel.permute of convert_hf_to_gguf.py
            split = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
            return np.ascontiguousarray(split.swapaxes(1, 2).reshape(values.shape))

        def apart(values: Array) -> Array:
            split = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
            return np.ascontiguousarray(split.swapaxes(1, 2).reshape(values.shape))

        return pairs, apart
    if kind.startswith("gemma") and part[0].endswith("norm"):
        return lambda values: values + 1, lambda values: values - 1
    if kind == "gpt2" and part[0] in ("attn_qkv", "attn_output", "ffn_up", "ffn_down") and part[1] == "weight":
        return lambda values: np.ascontiguousarray(values.T), lambda values: values.T
    return np.ascontiguousarray, lambda values: values


def _settings(writer: gguf.GGUFWriter, config: Any, name: str) -> None:
    writer.add_name("Tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if name == "gpt2":
        writer.add_feed_forward_length(config.n_inner)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    if name == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    _rope(writer, config.rope_parameters, size)


def _rope(writer: gguf.GGUFWriter, rope: Mapping[str, Any], size: int) -> None:
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope.get("rope_type", "default")
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_divisors(rope, size))
    elif kind == "longrope":
        for which in ("long", "short"):
            writer.add_tensor(f"rope_factors_{which}.weight", np.array(rope[f"{which}_factor"], np.float32))
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    elif kind != "default":
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
        if kind == "yarn":
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def _llama3_divisors(rope: Mapping[str, Any], size: int) -> npt.NDArray[np.float32]:
    """As generate_extra_tensors of convert_hf_to_gguf.py makes them."""
    found = []
    low, high = (rope["original_max_position_embeddings"] / rope[f"{end}_freq_factor"] for end in ("low", "high"))
    for frequency in 1.0 / (rope["rope_theta"] ** (np.arange(0, size, 2) / size)):
        length = 2 * np.pi / frequency
        if length < high:
            found.append(1.0)
        elif length > low:
            found.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / length - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            found.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(found, np.float32)
