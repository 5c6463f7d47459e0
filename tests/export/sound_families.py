"""Tiny random models of every family that labels recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.export.image_families import LABELS, scattered

WAVES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (32, 32),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 32,
    "vocab_size": 20,
}
_STABLE = {**WAVES, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_AST = {
    **{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128},
    **{"patch_size": 8, "frequency_stride": 5, "time_stride": 5, "max_length": 40, "num_mel_bins": 24},
}
_WHISPER = {
    **{"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_layers": 1},
    **{"num_mel_bins": 16, "max_source_positions": 50, "vocab_size": 100, "classifier_proj_size": 32},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
}


@dataclass(frozen=True)
class SoundFamily:
    """One family: its class and the class of its config in transformers, its config, and what makes its rows."""

    kind: str
    config_class: str
    config: dict[str, Any]
    extractor: str = "Wav2Vec2FeatureExtractor"
    extractor_config: tuple[tuple[str, Any], ...] = (("do_normalize", True),)


def _waves(prefix: str, config: dict[str, Any] = WAVES, **more: Any) -> SoundFamily:
    return SoundFamily(f"{prefix}ForSequenceClassification", f"{prefix}Config", {**config, **more})


def _whisper(**more: Any) -> SoundFamily:
    small = (("feature_size", 16), ("chunk_length", 1))
    config = {**_WHISPER, **more}
    return SoundFamily("WhisperForAudioClassification", "WhisperConfig", config, "WhisperFeatureExtractor", small)


FAMILIES: dict[str, SoundFamily] = {
    "ast": SoundFamily(
        *("ASTForAudioClassification", "ASTConfig", _AST, "ASTFeatureExtractor"),
        (("num_mel_bins", 24), ("max_length", 40)),
    ),
    "data2vec_audio": _waves("Data2VecAudio", num_conv_pos_embeddings=3),
    "hubert": _waves("Hubert"),
    "sew": _waves("SEW", squeeze_factor=2),
    "unispeech": _waves("UniSpeech"),
    "unispeech_sat": _waves("UniSpeechSat"),
    "wav2vec2": _waves("Wav2Vec2"),
    "wav2vec2_stable": _waves("Wav2Vec2", _STABLE),
    "wav2vec2_all_layers": _waves("Wav2Vec2", use_weighted_layer_sum=True),
    "wav2vec2_conformer": _waves("Wav2Vec2Conformer"),
    "wavlm": _waves("WavLM", _STABLE),
    "whisper": _whisper(),
    "whisper_all_layers": _whisper(use_weighted_layer_sum=True),
}


def make_sound_model(name: str) -> Any:
    """A tiny random model of a family."""
    import transformers

    family = FAMILIES[name]
    return scattered(family.kind, getattr(transformers, family.config_class)(**family.config, **LABELS))


def make_extractor(name: str) -> Any:
    """Of transformers."""
    import transformers

    family = FAMILIES[name]
    return getattr(transformers, family.extractor)(**dict(family.extractor_config))
