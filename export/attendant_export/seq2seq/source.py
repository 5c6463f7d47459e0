"""Reads an encoder-decoder from its folder, and says what of it the manifest tells before any graph is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from attendant.bundle import AudioSource, TextSource
from tokenizers import Tokenizer

from attendant_export.decoders.architectures import whole_blocks
from attendant_export.encoders.text_tokens import max_tokens, pad_id, trial_rows
from attendant_export.errors import UnsupportedModel
from attendant_export.seq2seq.encoder import Row
from attendant_export.seq2seq.speech import audio_source
from attendant_export.source.folder import CONFIG_FILE, SourceFolder
from attendant_export.words import read_words
from attendant_export.words.known_tokens import known_rows

SPEECH_TYPES = frozenset({"whisper"})
_IN_BLOCKS = "it cuts sources into blocks, whose number cannot be traced"
_UNTRACEABLE = {
    **dict.fromkeys(("longt5", "pegasus_x"), _IN_BLOCKS),
    "encoder-decoder": "its encoder and its decoder are models of other families, put together",
    "fsmt": "its source and target have vocabularies of their own; a bundle has one",
    "nllb-moe": "its router counts what each expert has got of all tokens that run together",
    "prophetnet": "its decoder has a stream for each of several tokens that it foresees",
    "switch_transformers": "its experts leave out tokens beyond their share, so that answers would depend on company",
    "t5gemma2": "its decoder looks at its own tokens and at the source in one call",
}
_WINDOWED_SOURCE = 4096  # tokens: scores of a window are computed for all pairs
_AUDIO_ROWS, _LOUDNESS = 3, 0.5


@dataclass(frozen=True)
class Seq2SeqSource:
    """An encoder-decoder in memory, and what its folder says.

    Attributes:
        model: transformers model with a language-model head, float32, eager attention, in eval mode.
        tokenizer_json, tokenizer_config: of its tokenizer; the second may be empty.
        features: content of preprocessor_config.json, for speech.
        warnings: what of the folder is not served as it says.
        cleans_up: see :class:`attendant_export.words.Words`.
    """

    model: Any
    tokenizer_json: str
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    cleans_up: bool = False

    @property
    def architecture(self) -> str:
        """The config's model_type."""
        return str(self.model.config.model_type)

    @property
    def reads_text(self) -> bool:
        """Whether its sources are texts, not sound."""
        return self.architecture not in SPEECH_TYPES

    @cached_property
    def known_ids(self) -> int | None:
        """The ids, from 0 on, that sources and answers may have: those that the model has rows for."""
        return known_rows(self.model)

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Ids of the tokens that the model knows: a tokenizer's class may add languages that it was never told."""
        tokens = Tokenizer.from_str(self.tokenizer_json).get_vocab(with_added_tokens=True)
        return {token: index for token, index in tokens.items() if self.known_ids is None or index < self.known_ids}

    def encoder_input(self) -> TextSource | AudioSource:
        """What the encoder reads; in layout ``packed`` until a trial has shown how."""
        if self.architecture in SPEECH_TYPES:
            return audio_source(self.model, self.features)
        longest = max_tokens(self.model, self.tokenizer_config, _longest_source(self.model))
        return TextSource(max_length=longest, layout="packed", pad_id=pad_id(self.model), vocab_size=self.known_ids)

    def context_length(self) -> int:
        """How many positions the decoder takes; of relative positions, as many as the encoder was made for."""
        config = self.model.config
        for name in ("max_target_positions", "max_decoder_position_embeddings", "max_position_embeddings"):
            length = getattr(config, name, None)
            if isinstance(length, int) and length > 0:
                return length
        return max_tokens(self.model, self.tokenizer_config)

    def sample_rows(self, source: TextSource | AudioSource) -> list[Row]:
        """Sources of different lengths to try the graphs with; noise for speech."""
        if isinstance(source, AudioSource):
            noise = np.random.default_rng(0).normal(size=(_AUDIO_ROWS, source.num_mel_bins, source.num_frames))
            return list((_LOUDNESS * noise).astype(np.float32))
        return list(trial_rows(self.model, source.max_length, self.tokenizer_json))


def is_encoder_decoder(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of a model with an encoder and a decoder; files leave out what their class implies."""
    from transformers import CONFIG_MAPPING

    given = config.get("is_encoder_decoder")
    model_type = config.get("model_type")
    if given is None and model_type in CONFIG_MAPPING:
        given = getattr(CONFIG_MAPPING[model_type], "is_encoder_decoder", False)
    return bool(given)


def load_seq2seq(folder: SourceFolder) -> Seq2SeqSource:
    """The model of ``folder``.

    Raises:
        SourceError: unreadable, incomplete, or without a tokenizer.
        UnsupportedModel: an encoder-decoder that bundles have no place for.
    """
    config = folder.json(CONFIG_FILE)
    auto_class = _class_for(str(config.get("model_type")))
    if config.get("model_type") == "marian" and config.get("share_encoder_decoder_embeddings") is False:
        raise UnsupportedModel("marian", "its source and target have vocabularies of their own; a bundle has one")
    tokenizer_config = folder.tokenizer_config
    # Before the weights: a missing tokenizer is told at once.
    words = read_words(folder)
    features = folder.json("preprocessor_config.json", missing_ok=True)
    model = folder.pretrained(auto_class)
    if hasattr(model.get_encoder(), "set_attention_type"):
        model.get_encoder().set_attention_type("original_full")
    warnings = (*words.warnings, *_source_warnings(model))
    return Seq2SeqSource(model, words.tokenizer_json, tokenizer_config, features, warnings, words.cleans_up)


def _longest_source(model: Any) -> int | None:
    """How many tokens an encoder with windows or blocks takes; None for others.

    BigBird-Pegasus: as many as it attends to as a whole. LED: what its position table has, and 4,096 at most.
    """
    if hasattr(model.get_encoder(), "set_attention_type"):
        return whole_blocks(model.config)
    if model.config.model_type == "led":
        return min(int(model.config.max_encoder_position_embeddings), _WINDOWED_SOURCE)
    return None


def _source_warnings(model: Any) -> tuple[str, ...]:
    """What of its position table is not used."""
    longest, config = _longest_source(model), model.config
    names = ("max_encoder_position_embeddings", "max_position_embeddings")
    table = max(int(getattr(config, name, None) or 0) for name in names)
    if longest is None or longest >= table:
        return ()
    return (f"sources end at {longest} tokens, up to which its attention is exact here; its positions go to {table}",)


def _class_for(model_type: str) -> str:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as TEXT

    if model_type in SPEECH_TYPES:
        return "AutoModelForSpeechSeq2Seq"
    if model_type in _UNTRACEABLE:
        raise UnsupportedModel(model_type, _UNTRACEABLE[model_type])
    if model_type not in TEXT:
        raise UnsupportedModel(model_type, "it is an encoder-decoder of another kind than text to text or Whisper's")
    return "AutoModelForSeq2SeqLM"
