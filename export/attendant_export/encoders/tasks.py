"""Which task a model folder is exported for: what its config says, or what is asked for and its architecture allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from attendant.bundle import EncoderTask

from attendant_export.errors import UnsupportedTask
from attendant_export.recipe import GENERATE
from attendant_export.source.folder import SourceFolder

TASKS: tuple[str, ...] = (GENERATE, *get_args(EncoderTask))

# By the end of the class in config.architectures: its own task first.
_BY_CLASS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ForAudioClassification", ("classify_audio",)),
    ("ForSequenceClassification", ("classify", "rerank", "embed")),
    ("ForTokenClassification", ("classify_tokens", "embed")),
    ("ForQuestionAnswering", ("answer", "embed")),
    ("ForQuestionAnsweringSimple", ("answer", "embed")),
    ("ForMaskedLM", ("fill_mask", "embed")),
    ("T5WithLMHeadModel", (GENERATE, "embed")),
    ("WithLMHeadModel", ("fill_mask", "embed")),
    ("ForPreTraining", ("embed", "fill_mask")),
    ("ForImageClassification", ("classify_image", "embed_image")),
    ("ForImageClassificationWithTeacher", ("classify_image", "embed_image")),
    ("ForCTC", ("transcribe",)),
    ("CLIPTextModel", ("embed",)),
    ("TextModelWithProjection", ("embed",)),
    ("SiglipTextModel", ("embed",)),
    ("VisionModel", ("embed_image",)),
    ("VisionModelWithProjection", ("embed_image",)),
    ("T5EncoderModel", ("embed",)),
)
_GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_TEXT_AND_IMAGE = ("clip", "siglip", "siglip2", "chinese_clip", "altclip")
_SENTENCE_CONFIG = "config_sentence_transformers.json"


def task_of(folder: SourceFolder, asked: str | None = None) -> str:
    """The task to export ``folder`` for: one of :data:`TASKS`.

    Raises:
        UnsupportedTask: ``asked`` is not a task, or not one that the architecture allows; or none is known for it.
    """
    config = folder.config
    allowed = allowed_tasks(config, is_sentence_model=folder.has("modules.json"))
    name = next(iter(config.get("architectures") or ()), None) or str(config.get("model_type"))
    if asked is None:
        if not allowed:
            raise UnsupportedTask(name, None, ())
        if allowed[0] == "classify" and is_cross_encoder(folder):
            return "rerank"
        return allowed[0]
    if asked not in allowed:
        raise UnsupportedTask(name, asked, allowed)
    return asked


def allowed_tasks(config: Mapping[str, Any], *, is_sentence_model: bool) -> tuple[str, ...]:
    """The tasks that a config.json allows, the most likely one first."""
    model_type = str(config.get("model_type"))
    names = [name for name in config.get("architectures") or () if isinstance(name, str)]
    if _hears(model_type) and any(name.endswith("ForSequenceClassification") for name in names):
        return ("classify_audio",)
    if is_sentence_model:
        return ("embed", "embed_image") if not config or model_type in _TEXT_AND_IMAGE else ("embed",)
    for name in names:
        found = next((tasks for suffix, tasks in _BY_CLASS if name.endswith(suffix)), None)
        if found is not None:
            return found if "rerank" not in found or num_labels(config) == 1 else ("classify", "embed")
    return _bare_tasks(model_type, names)


def _hears(model_type: str) -> bool:
    """Whether classifiers of this type take sound, whose classes are named as those of texts are."""
    from transformers.models.auto import modeling_auto as auto

    return model_type in auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES


def is_cross_encoder(folder: SourceFolder) -> bool:
    """Whether a sequence classifier scores pairs of texts: one label, or saved as one by sentence-transformers."""
    config = folder.config
    if num_labels(config) != 1:
        return False
    saved = folder.json(_SENTENCE_CONFIG, missing_ok=True)
    if saved.get("model_type") == "CrossEncoder" or isinstance(config.get("sentence_transformers"), dict):
        return True
    return config.get("problem_type") is None


def num_labels(config: Mapping[str, Any]) -> int:
    """The labels of a classifier; transformers writes a table of them, and none for its default of two."""
    labels = config.get("id2label")
    if isinstance(labels, dict):
        return len(labels)
    count = config.get("num_labels", config.get("_num_labels"))
    return count if isinstance(count, int) else 2


def _bare_tasks(model_type: str, names: list[str]) -> tuple[str, ...]:
    """Of models without a head that says what they are for."""
    from transformers.models.auto import modeling_auto as auto

    if model_type in _TEXT_AND_IMAGE:
        return ("embed", "embed_image")
    encodes = (*auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES, *auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES)
    if any(name.endswith(_GENERATING) for name in names):
        return (GENERATE, "embed")
    if model_type in encodes:
        return ("embed",)
    if model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return (GENERATE, "embed")
    images = (*auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES, *auto.MODEL_FOR_IMAGE_MAPPING_NAMES)
    heads = [name for name in names if "For" in name]  # for detection, segmentation and the like
    if model_type in images and not heads:
        return ("embed_image",)
    return (GENERATE,)  # which tells what is wrong with it
