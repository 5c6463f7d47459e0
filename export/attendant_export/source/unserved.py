"""Models that a config.json shows to be for something that is not served, told by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant_export.errors import UnsupportedModel

_BOXES = "it reads, besides the words of a page, where they stand on it (boxes), which requests do not have"
_TABLES = "it reads tables (rows, columns and ranks of cells), and requests have texts only"
_MARKUP = "it reads, besides the words of a page, their places in its markup (xpaths), which requests do not have"
_PICTURES = "it reads texts together with features of pictures, which requests do not have"
_HIDING = "it hides a random part of every image, so that its outputs differ from call to call"
_CHARACTERS = "it reads characters by their code points, where a bundle has a tokenizer"
_VIDEOS = "it reads videos, which requests do not have"
_NO_LANGUAGE = "its config.json names no default_language: that says through which of its adapters texts go"
_SOUND = "it classifies sound; of models that hear, those that transcribe are served"

_BY_TYPE: Mapping[str, str] = {
    **dict.fromkeys(("layoutlm", "layoutlmv2", "layoutlmv3", "layoutxlm", "lilt", "bros", "udop"), _BOXES),
    "tapas": _TABLES,
    "markuplm": _MARKUP,
    **dict.fromkeys(("visual_bert", "lxmert", "vilt", "bridgetower", "flava"), _PICTURES),
    **dict.fromkeys(("vit_mae", "videomae"), _HIDING),
    **dict.fromkeys(("vivit", "videoprism", "videoprism_vision_model", "timesformer"), _VIDEOS),
    "canine": _CHARACTERS,
}
_AUDIO_HEADS = ("ForAudioClassification", "ForAudioFrameClassification", "ForXVector")


def check_served(config: Mapping[str, Any]) -> None:
    """Refuses models whose inputs or outputs no task has.

    Raises:
        UnsupportedModel: says what the model is for.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as auto

    architecture = config.get("model_type")
    if not isinstance(architecture, str):
        return
    if architecture in _BY_TYPE:
        raise UnsupportedModel(architecture, _BY_TYPE[architecture])
    if architecture == "xmod" and not config.get("default_language"):
        raise UnsupportedModel(architecture, _NO_LANGUAGE)
    names = [name for name in config.get("architectures") or () if isinstance(name, str)]
    hears = architecture in auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    if any(name.endswith(_AUDIO_HEADS) or (hears and name.endswith("ForSequenceClassification")) for name in names):
        raise UnsupportedModel(architecture, _SOUND)
    if architecture not in CONFIG_MAPPING and config.get("auto_map"):
        raise UnsupportedModel(
            architecture,
            "it brings its own modelling code (auto_map in config.json), which is never run; architectures of "
            "transformers are exported",
        )
