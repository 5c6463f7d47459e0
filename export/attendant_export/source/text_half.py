"""The language model of a checkpoint that reads images or sound, too, proved to answer texts as the whole does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch

from attendant_export.errors import UnsupportedModel, failures_of, reading
from attendant_export.source.folder import SourceFolder
from attendant_export.source.left_out import LeftOut
from attendant_export.source.parts import WITHIN, whole_class
from attendant_export.source.quantised.loading import empty_model

_SAMPLE = 12  # tokens
_CLOSE = 1e-4  # of the largest logit


def load_text_half(folder: SourceFolder) -> Any:
    """The language model of ``folder``, one that reads more than text, proved as :func:`text_half` does.

    Of its other parts only those are loaded that a text goes through; with adapters, which may be of any part, all.

    Raises:
        SourceError: weights are missing or cannot be read.
        UnsupportedModel: as :func:`text_half`.
    """
    auto_class = whole_class(folder.config)
    assert auto_class is not None, "check_part has looked"
    within = WITHIN.get(folder.config["model_type"], "")
    kept = frozenset() if folder.adapters else _asked_for(folder, auto_class, within)
    while True:
        left_out = LeftOut(kept, all_kept=bool(folder.adapters), within=within)
        whole = folder.pretrained(auto_class, left_out=left_out)
        left_out.touched.clear()  # loading asks all modules for this and that
        try:
            return text_half(whole)
        except UnsupportedModel:
            if left_out.touched <= kept:
                raise
        kept |= left_out.touched
        del whole


def _asked_for(folder: SourceFolder, auto_class: str, within: str) -> frozenset[str]:
    """Which of the other parts a text goes through, as far as a run without weights tells: it ends where the code
    looks at numbers."""
    kept: frozenset[str] = frozenset()
    while True:
        left_out = LeftOut(kept, within=within)
        with reading(f"{folder.path}: the model cannot be loaded"):
            empty = empty_model(folder.path, auto_class, left_out)
        left_out.touched.clear()
        try:
            with torch.no_grad():
                empty(input_ids=_sample(empty.config).to("meta"), use_cache=False)
        except Exception:  # noqa: BLE001 - whatever the code makes of tensors without numbers
            pass
        if left_out.touched <= kept:
            return kept
        kept |= left_out.touched


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
    yield from _parts(whole)
    if _takes(whole, "position_ids"):
        _lift(whole)
        yield whole


def _parts(whole: Any) -> Iterator[Any]:
    """What may be the language model: as transformers has it, with the head of the whole, in the class for texts, or
    the whole itself, of which a graph keeps what a text goes through."""
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


def _lift(whole: Any) -> None:
    """Has ``whole`` see the logits of rows that a graph has chosen as those of one text: [1, rows, vocabulary]."""

    lifted = []

    def lift(head: Any, given: Any, logits: torch.Tensor) -> torch.Tensor:
        if logits.dim() > 2:
            return logits
        lifted.append(logits.shape)
        return logits[None]

    def lower(module: Any, given: Any, output: Any) -> Any:
        if lifted:
            lifted.clear()
            output.logits = output.logits[0]
        return output

    whole.get_output_embeddings().register_forward_hook(lift)
    whole.register_forward_hook(lower)


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
