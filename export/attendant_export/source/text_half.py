"""The language model of a checkpoint that reads images or sound, too, proved to answer texts as the whole does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from attendant_export.errors import ExportError, UnsupportedModel, failures_of

_SAMPLE = 12  # tokens
_CLOSE = 1e-4  # of the largest logit
_ROUTES = ("vision_config", "vq_config", "vlm_config"), ("audio_config", "encoder_config", "codec_config")


def whole_class(config: Mapping[str, Any]) -> str | None:
    """Name of the class of transformers that loads a config.json as a model that reads more than text; None where it
    does not, or where it has an encoder for the text."""
    from transformers.models.auto import modeling_auto as auto

    architecture = config.get("model_type")
    if config.get("is_encoder_decoder"):
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
        UnsupportedModel: names the flag.
        ExportError: there is no language model to be asked for.
    """
    architecture = str(config.get("model_type"))
    whole = whole_class(config)
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


def text_half(whole: Any) -> Any:
    """The language model of ``whole``, a model in float32 and eval mode, which shares its modules.

    Raises:
        UnsupportedModel: there is none that gives the logits of the whole for a text.
    """
    architecture = str(whole.config.model_type)
    distances = []
    with failures_of(architecture), torch.no_grad():
        tokens = _sample(whole.config)
        wanted = whole(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits
        for half in _candidates(whole):
            found = half(input_ids=tokens, position_ids=torch.arange(_SAMPLE)[None], use_cache=False).logits
            if found.shape == wanted.shape:
                distances.append(float((found - wanted).abs().max()))
                if distances[-1] <= _CLOSE * float(wanted.abs().max()):
                    half.generation_config = whole.generation_config
                    return half.eval()
    if not distances:
        raise UnsupportedModel(architecture, "transformers does not say which part of it is the language model")
    raise UnsupportedModel(
        architecture,
        f"its language model alone does not answer a text as the whole does (logits differ by {min(distances):.2g})",
    )


def _candidates(whole: Any) -> Iterator[Any]:
    """What may be the language model: as transformers has it, with the head of the whole, or in the class for texts."""
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    inner: Any = whole.get_decoder()
    head = whole.get_output_embeddings()
    if inner is None or inner is whole or not hasattr(inner, "config"):
        return
    if inner.get_output_embeddings() is not None:
        yield inner
    if head is None:
        return
    yield _with_head(inner, head)
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(inner.config.model_type)
    if known is None:
        return
    with torch.device("meta"):
        causal: Any = AutoModelForCausalLM.from_config(inner.config, attn_implementation="eager")
    if isinstance(getattr(causal, causal.base_model_prefix, None), type(inner)):
        setattr(causal, causal.base_model_prefix, inner)
        causal.set_output_embeddings(head)
        causal.config = inner.config
        yield causal


class _TextHalf:
    """The methods of a text model with a head; mixed with the family's own base class."""

    base_model_prefix = "model"

    def get_output_embeddings(self) -> Any:
        return self.lm_head  # type: ignore[attr-defined]

    def forward(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor | None = None, use_cache: bool = False, **more: Any
    ) -> Any:
        """``input_ids`` and ``position_ids``: [batch, sequence] int64. Gives logits, [batch, sequence, vocabulary]."""
        from transformers.modeling_outputs import CausalLMOutputWithPast

        inner = self.model  # type: ignore[attr-defined]
        if _takes(inner, "position_ids"):
            more["position_ids"] = position_ids
        found = inner(input_ids=input_ids, use_cache=use_cache, **more)
        logits = self.lm_head(found.last_hidden_state)  # type: ignore[attr-defined]
        return CausalLMOutputWithPast(logits=logits, past_key_values=found.get("past_key_values"))


def _with_head(inner: Any, head: Any) -> Any:
    from transformers import GenerationMixin, PreTrainedModel

    family = next(each for each in type(inner).__mro__[1:] if issubclass(each, PreTrainedModel))
    # transformers reads the file of a class's module to see how it attends.
    names = {"__module__": type(inner).__module__}
    half = type("TextHalf", (_TextHalf, family, GenerationMixin), names)(inner.config)
    half.config, half.model, half.lm_head = inner.config, inner, head
    return half


def _sample(config: Any) -> torch.Tensor:
    """Tokens of a text: none that stand for images or the like."""
    special: set[Any] = set()
    for each in (config, config.get_text_config()):
        for name, value in each.to_dict().items():
            if name.endswith(("_token_id", "_token_index", "_id")):
                special |= set(value) if isinstance(value, list) else {value}
    vocab = config.get_text_config().vocab_size
    plain = [token for token in range(3, min(vocab, 400)) if token not in special]
    return torch.tensor([[plain[place * 7 % len(plain)] for place in range(_SAMPLE)]])


def _takes(module: Any, name: str) -> bool:
    return name in inspect.signature(module.forward).parameters
