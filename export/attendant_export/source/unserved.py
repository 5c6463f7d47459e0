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
_FRAMES = "it labels every frame of a recording; of models that label sound, those that label it as a whole are served"
_VOICES = "it makes vectors of voices; of models that hear, those that transcribe and those that label are served"

_BY_TYPE: Mapping[str, str] = {
    **dict.fromkeys(("layoutlm", "layoutlmv2", "layoutlmv3", "layoutxlm", "lilt", "bros", "udop"), _BOXES),
    "tapas": _TABLES,
    "markuplm": _MARKUP,
    **dict.fromkeys(("visual_bert", "lxmert", "vilt", "bridgetower", "flava"), _PICTURES),
    **dict.fromkeys(("vit_mae", "videomae"), _HIDING),
    **dict.fromkeys(("vivit", "videoprism", "videoprism_vision_model", "timesformer"), _VIDEOS),
    "canine": _CHARACTERS,
}
_BY_HEAD = {"ForAudioFrameClassification": _FRAMES, "ForXVector": _VOICES}


def check_served(config: Mapping[str, Any]) -> None:
    """Refuses models whose inputs or outputs no task has.

    Raises:
        UnsupportedModel: says what the model is for.
    """
    from transformers import CONFIG_MAPPING

    architecture = config.get("model_type")
    if not isinstance(architecture, str):
        return
    if architecture in _BY_TYPE:
        raise UnsupportedModel(architecture, _BY_TYPE[architecture])
    if architecture == "xmod" and not config.get("default_language"):
        raise UnsupportedModel(architecture, _NO_LANGUAGE)
    names = [name for name in config.get("architectures") or () if isinstance(name, str)]
    for head, reason in _BY_HEAD.items():
        if any(name.endswith(head) for name in names):
            raise UnsupportedModel(architecture, reason)
    if architecture not in CONFIG_MAPPING and config.get("auto_map"):
        raise UnsupportedModel(
            architecture,
            "it brings its own modelling code (auto_map in config.json), which is never run; architectures of "
            "transformers are exported",
        )
