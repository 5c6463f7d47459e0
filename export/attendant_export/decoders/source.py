"""Loads a causal language model from its folder, and the files around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attendant_export.decoders.architectures import check_config, check_layers, check_model
from attendant_export.source.folder import CONFIG_FILE, SourceFolder
from attendant_export.source.parts import causal_class, check_part, text_config
from attendant_export.source.quantised.checkpoint import Checkpoint
from attendant_export.source.text_half import load_text_half
from attendant_export.words import Words, read_words


@dataclass(frozen=True)
class DecoderSource:
    """A causal language model in memory, and what its folder says.

    Attributes:
        model: transformers model, float32, eager attention, in eval mode.
        words: its tokenizer and chat templates.
        tokenizer_config: content of tokenizer_config.json, for the special tokens a config leaves out, or {}.
        quantised: what its weights were before they were read, where they were quantised.
    """

    model: Any
    words: Words
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    quantised: Checkpoint | None = None


def load_decoder(folder: SourceFolder) -> DecoderSource:
    """The model of ``folder``.

    Raises:
        SourceError: unreadable, incomplete, or without a tokenizer.
        UnsupportedModel: the config says that it cannot become a decoder graph.
    """
    config = folder.json(CONFIG_FILE)
    check_part(config, folder.part)
    if folder.part is None:
        check_config(config)
    else:
        check_layers(str(config.get("model_type")), text_config(config))
    tokenizer_config = folder.tokenizer_config
    words = read_words(folder)  # before the weights: a missing tokenizer is told at once
    model = folder.pretrained(causal_class(config)) if folder.part is None else load_text_half(folder)
    check_model(model)
    return DecoderSource(model, words, tokenizer_config, folder.quantised)
