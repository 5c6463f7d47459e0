"""Checkpoints that read images or sound beside text: which there are, and which part of them can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant_export.errors import ExportError, UnsupportedModel, reading

_ROUTES = (
    ("vision_config", "vq_config", "vlm_config"),
    ("audio_config", "sound_config", "encoder_config", "codec_config", "acoustic_tokenizer_encoder_config"),
)
_ANSWERS_TO_IMAGES = "it answers to an image, and its code takes no text without one"
WITHIN = {"qwen2_5_omni": "thinker", "qwen3_omni_moe": "thinker"}
"""By type, the part of a checkpoint that reads all and writes text, where other parts speak."""
_NOT_ALONE: Mapping[str, str] = {
    **dict.fromkeys(("blip", "blip-2", "instructblip", "instructblipvideo", "idefics", "kosmos-2"), _ANSWERS_TO_IMAGES),
    "diffusion_gemma": "it writes whole blocks of text by removing noise, and not one token after the other",
    "evolla": "it answers questions on proteins, their sequence and structure, which requests do not have",
    "kosmos-2.5": "it reads out images, and counts the positions of a text from two on, which no request does",
    "kyutai_speech_to_text": "each of its positions has codes of sound beside a token of text",
    "pi0": "it gives movements of a robot, and no text",
    "shieldgemma2": "it judges images, and writes no text",
    "voxtral_realtime": "it adds sound to the token at each position",
}


def whole_class(config: Mapping[str, Any]) -> str | None:
    """Name of the class of transformers that loads a config.json as a model that reads more than text; None where it
    does not, or where it has an encoder for the text."""
    from transformers.models.auto import modeling_auto as auto

    architecture = config.get("model_type")
    if config.get("is_encoder_decoder") or _reads_texts_alone(architecture):
        return None
    if architecture in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return "AutoModelForImageTextToText"
    return "AutoModelForMultimodalLM" if architecture in auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES else None


def what_it_reads(config: Mapping[str, Any]) -> str:
    """Images, sound, or both, in words."""
    images, sound = (any(config.get(name) for name in names) for names in _ROUTES)
    if config.get("thinker_config"):
        images = sound = True
    return " and ".join(word for word, is_read in (("images", images or not sound), ("sound", sound)) if is_read)


def check_part(config: Mapping[str, Any], part: str | None) -> None:
    """Refuses a model that reads more than text where its language model was not asked for, and the other way round.

    Raises:
        UnsupportedModel: names the flag, or says why no part of this model can be asked for.
        ExportError: there is no language model to be asked for.
    """
    architecture = str(config.get("model_type"))
    whole = whole_class(config)
    if architecture in _NOT_ALONE:
        raise UnsupportedModel(architecture, _NOT_ALONE[architecture])
    if part is None and whole is not None:
        raise UnsupportedModel(
            architecture,
            f"it reads {what_it_reads(config)} beside text, and requests have texts only; --part text exports its "
            "language model without the rest",
        )
    if part is not None and whole is None:
        raise ExportError(
            f"--part text is for models that read images or sound beside text and continue it; {architecture} is none"
        )


def part_warning(config: Mapping[str, Any]) -> str:
    """What a bundle of the language model says of the rest."""
    return f"{what_it_reads(config)} are left out: this is the language model of {config.get('model_type')} alone"


def text_config(config: Mapping[str, Any]) -> Any:
    """The config of transformers of the language model of one that reads more than text.

    Raises:
        SourceError: transformers does not take it.
    """
    from transformers import CONFIG_MAPPING

    architecture = config["model_type"]
    with reading(f"config.json of {architecture}"):
        whole = CONFIG_MAPPING[architecture].from_dict(dict(config))
        within = getattr(whole, f"{WITHIN[architecture]}_config") if architecture in WITHIN else whole
        return within.get_text_config()


def causal_class(config: Mapping[str, Any]) -> str:
    """Name of the class of transformers that loads a model of texts that continues them.

    Some classes write configs of a type of their own, which transformers does not find them by: they are named.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    model_type = config.get("model_type")
    if _reads_texts_alone(model_type):
        return "AutoModelForImageTextToText"
    if model_type not in KNOWN:
        for name in config.get("architectures") or ():
            if name in KNOWN.values() and getattr(transformers, name).config_class.model_type == model_type:
                return str(name)
    return "AutoModelForCausalLM"


def _reads_texts_alone(architecture: Any) -> bool:
    """Whether transformers has a causal language model among those that read more, and nowhere else."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as auto

    name = auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(architecture, "")
    return name.endswith("ForCausalLM") and not CONFIG_MAPPING[architecture].sub_configs
