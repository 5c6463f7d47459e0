"""Tiny random encoder-decoders of every family, as models and as whole folders in the Hugging Face format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POSITIONS = 96
MEL_BINS, WINDOW_SECONDS = 20, 1
_FRAMES_PER_SECOND, _TIMESTAMPS_PER_SECOND = 100, 50

_BART = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_position_embeddings": POSITIONS,
}
_BIG_BIRD = {**_BART, "scale_embedding": True, "block_size": 8, "num_random_blocks": 3}
_LED_POSITIONS = {"max_encoder_position_embeddings": POSITIONS, "max_decoder_position_embeddings": POSITIONS}
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
_BART_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_T5_SPECIALS = ("<pad>", "</s>", "<unk>")
MBART_LANGUAGES = ("ar_AR", "cs_CZ", "de_DE", "en_XX", "ro_RO")
M2M_LANGUAGES = ("__de__", "__en__", "__fr__")
NLLB_LANGUAGES = ("deu_Latn", "eng_Latn", "fra_Latn")
MARIAN_LANGUAGES = (">>deu<<", ">>fra<<")
WHISPER_SPECIALS = (
    *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|fr|>", "<|translate|>", "<|transcribe|>"),
    *("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)
TIMESTAMPS = tuple(
    f"<|{index / _TIMESTAMPS_PER_SECOND:.2f}|>" for index in range(WINDOW_SECONDS * _TIMESTAMPS_PER_SECOND + 1)
)


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        prefix: of the config's class. model_class: of the model, by default the prefix and ForConditionalGeneration.
        config: without token ids and the size of the vocabulary.
        specials: special tokens that come first in the vocabulary, before one token for each byte, and ``extra`` after.
        roles: which special tokens are bos, pad, eos and decoder_start.
        template: of the tokenizer, ``$A`` for the text.
        generation: fields of generation_config.json; tokens for ids.
    """

    prefix: str
    config: dict[str, Any]
    roles: dict[str, str]
    specials: tuple[str, ...] = _BART_SPECIALS
    extra: tuple[str, ...] = ()
    template: str = "$A </s>"
    generation: dict[str, Any] = field(default_factory=dict)
    model_class: str = ""
    tokenizer_class: str = "PreTrainedTokenizerFast"

    @property
    def vocabulary(self) -> list[str]:
        """Tokens by id."""
        return [*self.specials, *_byte_tokens(), *self.extra]

    def id_of(self, token: str) -> int:
        """Of a special token."""
        return self.vocabulary.index(token)


_BART_ROLES = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "decoder_start": "</s>"}
_T5_ROLES = {"pad": "<pad>", "eos": "</s>", "decoder_start": "<pad>"}
NIGHTLY = frozenset({"mvp", "bigbird_pegasus"})
"""Those that others stand for in `make test`."""


def _t5(prefix: str, **config: Any) -> Family:
    return Family(prefix, {**_T5, **config}, _T5_ROLES, _T5_SPECIALS)


FAMILIES: dict[str, Family] = {
    "t5": _t5("T5"),
    "flan_t5": _t5("T5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "mt5": _t5("MT5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "umt5": _t5("UMT5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "bart": Family(
        "Bart",
        _BART,
        _BART_ROLES,
        extra=("<mask>",),
        template="<s> $A </s>",
        generation={
            "forced_bos_token_id": "<s>",
            "forced_eos_token_id": "</s>",
            "num_beams": 4,
            "length_penalty": 2.0,
            "early_stopping": True,
            "no_repeat_ngram_size": 3,
            "min_length": 5,
            "max_length": 60,
        },
    ),
    "blenderbot": Family("Blenderbot", _BART, {**_BART_ROLES, "decoder_start": "<s>"}),
    "plbart": Family("PLBart", {**_BART, "scale_embedding": True}, _BART_ROLES),
    "mbart": Family(
        "MBart",
        {**_BART, "scale_embedding": True},
        {**_BART_ROLES, "decoder_start": "ro_RO"},
        extra=MBART_LANGUAGES,
        generation={"num_beams": 5, "max_length": 60},
        tokenizer_class="MBartTokenizer",
    ),
    "mbart50": Family(
        "MBart",
        {**_BART, "scale_embedding": True},
        _BART_ROLES,
        extra=MBART_LANGUAGES,
        generation={"num_beams": 5, "max_length": 60, "forced_eos_token_id": "</s>"},
        tokenizer_class="MBart50Tokenizer",
    ),
    "marian": Family(
        "Marian",
        {**_BART, "scale_embedding": True, "activation_function": "swish"},
        {"pad": "<pad>", "eos": "</s>", "decoder_start": "<pad>"},
        specials=("</s>", "<unk>"),
        extra=("<pad>",),
        generation={"num_beams": 6, "bad_words_ids": [["<pad>"]], "forced_eos_token_id": "</s>", "max_length": 60},
        model_class="MarianMTModel",
    ),
    "marian_multi": Family(
        "Marian",
        _BART,
        {"pad": "<pad>", "eos": "</s>", "decoder_start": "<pad>"},
        specials=("</s>", "<unk>", *MARIAN_LANGUAGES),
        extra=("<pad>",),
        generation={"num_beams": 4, "bad_words_ids": [["<pad>"]], "max_length": 60},
        model_class="MarianMTModel",
    ),
    "pegasus": Family(
        "Pegasus",
        {**_BART, "scale_embedding": True},
        _T5_ROLES,
        specials=_T5_SPECIALS,
        generation={"num_beams": 8, "length_penalty": 0.6, "forced_eos_token_id": "</s>", "max_length": 40},
    ),
    "led": Family("LED", {**_BART, **_LED_POSITIONS, "attention_window": [8, 4]}, _BART_ROLES),
    "mvp": Family("Mvp", {**_BART, "scale_embedding": True}, _BART_ROLES),
    "bigbird_pegasus": Family("BigBirdPegasus", _BIG_BIRD, {**_T5_ROLES, "bos": "</s>"}, _T5_SPECIALS),
    "m2m_100": Family(
        "M2M100",
        {**_BART, "scale_embedding": True},
        _BART_ROLES,
        extra=M2M_LANGUAGES,
        generation={"num_beams": 5, "early_stopping": True, "max_length": 60},
        tokenizer_class="M2M100Tokenizer",
    ),
    "nllb": Family(
        "M2M100",
        {**_BART, "scale_embedding": True},
        _BART_ROLES,
        extra=NLLB_LANGUAGES,
        generation={"max_length": 60},
        tokenizer_class="NllbTokenizer",
    ),
    "whisper": Family(
        "Whisper",
        {
            **{key: value for key, value in _BART.items() if key != "max_position_embeddings"},
            "num_mel_bins": MEL_BINS,
            "max_source_positions": WINDOW_SECONDS * _FRAMES_PER_SECOND // 2,
            "max_target_positions": POSITIONS,
        },
        {
            "bos": "<|endoftext|>",
            "pad": "<|endoftext|>",
            "eos": "<|endoftext|>",
            "decoder_start": "<|startoftranscript|>",
        },
        specials=(),
        extra=(*WHISPER_SPECIALS, *TIMESTAMPS),
        template="$A",
        generation={
            "suppress_tokens": ["<|startoftranscript|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"],
            "begin_suppress_tokens": ["<|endoftext|>"],
            "lang_to_id": {token: token for token in WHISPER_SPECIALS[2:5]},
            "task_to_id": {"transcribe": "<|transcribe|>", "translate": "<|translate|>"},
            "no_timestamps_token_id": "<|notimestamps|>",
            "max_initial_timestamp_index": 25,
            "is_multilingual": True,
            "max_length": POSITIONS,
        },
    ),
}


def make_model(name: str, *, spread: float = 0.15, **config: Any) -> Any:
    """A random model with its generation_config, float32, eager attention; ``spread``: of what is added to its weights,
    so that every part of it shows in the output."""
    import torch
    import transformers

    family = FAMILIES[name]
    torch.manual_seed(0)
    roles = {f"{role}_token_id": family.id_of(token) for role, token in family.roles.items()}
    settings = getattr(transformers, f"{family.prefix}Config")(
        **{"vocab_size": len(family.vocabulary), **family.config, **_WITHOUT, **roles, **config}
    )
    model_class = getattr(transformers, family.model_class or f"{family.prefix}ForConditionalGeneration")
    model = model_class._from_config(settings, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    if family.config.get("tie_word_embeddings") is False:  # T5's config says so and ties all the same
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
    with torch.no_grad():
        biases = [value for key, value in model.named_buffers() if key == "final_logits_bias"]
        for tensor in (*(value for value in model.parameters() if value.requires_grad), *biases):
            tensor.add_(spread * torch.randn(tensor.shape, generator=generator))
    fields = {key: _ids(family, value) for key, value in family.generation.items()}
    model.generation_config = transformers.GenerationConfig(**roles, **fields)
    return model


# Defaults of config classes that mean tokens of the full-sized vocabularies.
_WITHOUT: dict[str, Any] = {
    "forced_eos_token_id": None,
    "forced_bos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "bos_token_id": None,
}


def save_folder(name: str, folder: Path, model: Any = None) -> Path:
    """Writes the model of a family (a fresh one by default) with all files that a hub's folder has; returns it."""
    family = FAMILIES[name]
    folder.mkdir(parents=True, exist_ok=True)
    (model or make_model(name)).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(name), encoding="utf-8")
    config = {
        "tokenizer_class": family.tokenizer_class,
        "model_max_length": POSITIONS,
        "eos_token": family.roles["eos"],
        "pad_token": family.roles["pad"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    if name == "whisper":
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR), encoding="utf-8")
    return folder


PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": MEL_BINS,
    "sampling_rate": 16_000,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": WINDOW_SECONDS,
    "n_samples": 16_000 * WINDOW_SECONDS,
    "nb_max_frames": _FRAMES_PER_SECOND * WINDOW_SECONDS,
    "padding_value": 0.0,
    "return_attention_mask": False,
}


def tokenizer_json(name: str) -> str:
    """One token for each byte and the special tokens of a family; every text has tokens, and comes back from them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    family = FAMILIES[name]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(family.vocabulary)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (*family.specials, *family.extra)])
    used = [part for part in family.template.split() if part != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=family.template, special_tokens=[(token, family.id_of(token)) for token in used]
    )
    return str(tokenizer.to_str())


def _byte_tokens() -> Sequence[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _ids(family: Family, value: Any) -> Any:
    """``value`` with ids in the place of special tokens."""
    if isinstance(value, str):
        return family.id_of(value)
    if isinstance(value, list):
        return [_ids(family, item) for item in value]
    if isinstance(value, dict):
        return {key: _ids(family, item) for key, item in value.items()}
    return value
