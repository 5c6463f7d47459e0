"""Loads a text encoder from its folder: which class, which head, and the files around it."""

from __future__ import annotations

from attendant.bundle import EncoderTask, Pooling

from attendant_export.encoders.sentence_transformers import read_sentence_model
from attendant_export.encoders.text_plan import EncoderSource
from attendant_export.errors import ExportError
from attendant_export.source.folder import CONFIG_FILE, SourceFolder
from attendant_export.words import read_words

_CLASSES: dict[EncoderTask, str] = {
    "classify": "AutoModelForSequenceClassification",
    "rerank": "AutoModelForSequenceClassification",
    "classify_tokens": "AutoModelForTokenClassification",
    "answer": "AutoModelForQuestionAnswering",
    "fill_mask": "AutoModelForMaskedLM",
}
_TEXT_HALVES = {
    "clip": "CLIPTextModelWithProjection",
    "clip_text_model": "CLIPTextModelWithProjection",
    "siglip": "SiglipTextModel",
    "siglip_text_model": "SiglipTextModel",
}
# Of a head over the whole row, which task embed does not read, and many checkpoints do not have.
_UNREAD = ("pooler.",)


def load_text(folder: SourceFolder, task: EncoderTask, pooling: Pooling | None = None) -> EncoderSource:
    """The model of ``folder`` with the head of ``task``.

    Raises:
        SourceError: unreadable, incomplete, or without a tokenizer.
        ExportError: ``pooling`` was asked for a task that has none.
    """
    if pooling is not None and task != "embed":
        raise ExportError(f"task {task} has no pooling; only embed has")
    sentence = read_sentence_model(folder) if task == "embed" else None
    inner = sentence.transformer if sentence is not None else folder
    config = inner.json(CONFIG_FILE)
    tokenizer_config = inner.tokenizer_config
    words = read_words(inner, generates=False)  # before the weights: a missing tokenizer is told at once
    auto_class = class_for(task, str(config.get("model_type")))
    model = inner.pretrained(auto_class, _UNREAD if auto_class.startswith("AutoModel") and task == "embed" else ())
    tokenizer_config = tokenizer_config | dict(words.special_tokens or {})
    return EncoderSource(model, task, words.tokenizer_json, tokenizer_config, sentence, pooling, words.warnings)


def class_for(task: EncoderTask, model_type: str) -> str:
    """Name of the class of transformers that has the head of ``task``."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

    if task != "embed":
        return _CLASSES[task]
    if model_type in _TEXT_HALVES:
        return _TEXT_HALVES[model_type]
    return "AutoModelForTextEncoding" if model_type in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES else "AutoModel"
