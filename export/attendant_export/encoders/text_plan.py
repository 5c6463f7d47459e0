"""Plans the export of a text encoder: its task's head, how its rows run together, and what the manifest says."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attendant.bundle import EmbeddingHead, EncoderTask, Pooling, Problem, TextInput
from attendant.bundle.graph_io import PACKED, in_layout

from attendant_export.attention.reference import Look
from attendant_export.decoders.architectures import check_layers
from attendant_export.encoders.ends import end_token
from attendant_export.encoders.natural import calibration_feeds, natural_case
from attendant_export.encoders.plan import EncoderCase, EncoderPlan
from attendant_export.encoders.rows import Ints, dimensions_of
from attendant_export.encoders.sentence_transformers import SentenceModel
from attendant_export.encoders.text import HeadKind, TextHead, TextModule
from attendant_export.encoders.text_tokens import (
    bundled_tokenizer,
    max_tokens,
    natural_rows,
    pad_id,
    trial_rows,
)
from attendant_export.encoders.trace import EncoderSpec
from attendant_export.encoders.trial import Sample, Way, find_way, make_sample, rows_of, sample_feeds
from attendant_export.errors import UnsupportedModel
from attendant_export.precision import in_dtype
from attendant_export.source.folder import SourceFolder
from attendant_export.texts import calibration_text
from attendant_export.tracing.positions import reserved_positions
from attendant_export.words.known_tokens import known_rows

_KINDS: dict[EncoderTask, HeadKind] = {
    "classify": "row_logits",
    "rerank": "row_logits",
    "classify_tokens": "token_logits",
    "answer": "spans",
    "fill_mask": "chosen_logits",
    "embed": "token_embeddings",
}
TEXT_TASKS = frozenset(_KINDS)
# Models that make one vector of a text themselves; and the one among them that reads its padding.
_OWN_VECTOR = frozenset({"clip", "clip_text_model", "siglip", "siglip_text_model"})
_FIXED_LENGTH = frozenset({"siglip", "siglip_text_model"})
_PROBLEMS: dict[str | None, Problem] = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
_UNTRACEABLE = {
    "longformer": "it cuts rows into chunks, whose number cannot be traced",
    "big_bird": "it draws blocks at random, which a graph cannot",
    "funnel": "it halves its rows from block to block, which does not work out for those of a few tokens",
    "reformer": "it sorts tokens into buckets by hashing, which a graph cannot",
}
_CALIBRATION_SENTENCES = 48
_SAMPLE_LENGTHS = (9, 5, 3)  # of a trace: no two dimensions are alike


@dataclass(frozen=True)
class EncoderSource:
    """A text encoder in memory, and what its folder says.

    Attributes:
        model: transformers model with the head of ``task``, float32, eager attention, in eval mode.
        tokenizer_config: content of tokenizer_config.json with the tokenizer's special tokens, for the longest row and
            the mask token.
        sentence: what sentence-transformers adds, if anything.
        pooling: asked for; otherwise the sentence model's, or the mean.
        warnings: what of the folder is not served as it says.
    """

    model: Any
    task: EncoderTask
    tokenizer_json: str | None = None
    tokenizer_config: dict[str, Any] = field(default_factory=dict)
    sentence: SentenceModel | None = None
    pooling: Pooling | None = None
    warnings: tuple[str, ...] = ()


def plan_text(source: EncoderSource) -> EncoderPlan:
    """Finds out how rows of ``source`` can run together, and plans its graph.

    Raises:
        UnsupportedModel: they cannot, or its head is not one that a bundle has.
    """
    model, task = source.model, source.task
    architecture = _known_architecture(model)
    sentence = source.sentence or SentenceModel(SourceFolder(Path()))
    longest = max_tokens(model, source.tokenizer_config, sentence.max_tokens)
    head = text_head(model, task)
    tokenizer = source.tokenizer_json
    if tokenizer is not None:
        tokenizer = bundled_tokenizer(tokenizer, lowercase=sentence.lowercase)
    end = end_token(model) if head.kind == "row_logits" else None
    if end is not None:
        _check_end(architecture, tokenizer, end)
    mask = _mask_id(source) if task == "fill_mask" else _any_mask_id(source)
    rows = trial_rows(model, longest, tokenizer, (mask, end))
    poolings = _poolings(source, sentence) if head.kind == "token_embeddings" else ()
    types = [(np.arange(len(row)) > len(row) // 2).astype(np.int64) for row in rows] if _has_types(model) else None
    sample = make_sample(model, head, rows, types, pad_id(model))
    way = find_way(model, head, sample, pad_id(model))
    offset = max(way.position_offset, reserved_positions(model))
    return EncoderPlan(
        task=task,
        architecture=architecture,
        input=TextInput(
            max_tokens=longest,
            pad_id=pad_id(model),
            position_offset=offset,
            mask_id=mask if task == "fill_mask" else None,
            end_id=end,
            vocab_size=known_rows(model),
        ),
        layout=way.form.layout,
        spec=lambda dtype: _spec(in_dtype(model, dtype), head, way, sample),
        cases=lambda: _cases(head, way, sample, pad_id(model)),
        natural=lambda: natural_case(model, head, way, natural_rows(model, longest, tokenizer), poolings),
        samples=lambda text: calibration_feeds(
            model,
            head,
            way,
            natural_rows(model, longest, tokenizer, text or calibration_text(), _CALIBRATION_SENTENCES),
        ),
        labels=labels_of(model) if task in ("classify", "classify_tokens", "rerank") else (),
        problem=problem_of(model) if task == "classify" else "single_label",
        embedding=_embedding(source, sentence, head, sample) if task == "embed" else None,
        tokenizer_json=tokenizer,
        projection=sentence.projection,
        warnings=source.warnings,
        look=lambda: Look(model, _one_row(sample)),
    )


def _known_architecture(model: Any) -> str:
    """Its model type, unless its layers are of kinds that are not exported. Raises UnsupportedModel."""
    architecture = str(model.config.model_type)
    if architecture in _UNTRACEABLE:
        raise UnsupportedModel(architecture, _UNTRACEABLE[architecture])
    check_layers(architecture, model.config.get_text_config())
    return architecture


def _one_row(sample: Sample) -> dict[str, Ints]:
    """The first row of ``sample``, as the model takes it alone."""
    row = {PACKED.input_ids.name: sample.rows[0][None]}
    return row if sample.types is None else row | {PACKED.token_type_ids.name: sample.types[0][None]}


def text_head(model: Any, task: EncoderTask) -> TextHead:
    """What of the model's output the graph of ``task`` gives."""
    model_type = str(model.config.model_type)
    fixed = int(model.config.get_text_config().max_position_embeddings) if model_type in _FIXED_LENGTH else None
    if task == "embed" and model_type in _OWN_VECTOR:
        return TextHead("row_embedding", fixed)
    return TextHead(_KINDS[task], fixed)


def labels_of(model: Any) -> tuple[str, ...]:
    """Names of the logits, in order."""
    names = model.config.id2label or {}
    return tuple(str(names.get(index, f"LABEL_{index}")) for index in range(model.config.num_labels))


def problem_of(model: Any) -> Problem:
    """What the logits mean; like transformers, one label without a word about it is a regression."""
    given = _PROBLEMS.get(getattr(model.config, "problem_type", None))
    return given or ("regression" if model.config.num_labels == 1 else "single_label")


def _has_types(model: Any) -> bool:
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return takes and int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


def _spec(model: Any, head: TextHead, way: Way, sample: Sample) -> EncoderSpec:
    """Sizes of a trace, with a module over ``model``."""
    rows = [row[:length] for row, length in zip(sample.rows, _SAMPLE_LENGTHS, strict=False)]
    types = None if sample.types is None else [np.zeros_like(row) for row in rows]
    chosen = None if sample.chosen is None else [np.arange(0, len(row), 2) for row in rows]
    feeds = sample_feeds(Sample(rows, types, chosen, ()), way, pad_id(model))
    output = in_layout(head.output, packed=way.form.layout == "packed")
    dimensions = {**dimensions_of(way.form.layout), output.name: output.symbols}
    return EncoderSpec(
        module=TextModule(model, head, way.form, pad_id(model)).eval(),
        model=model,
        samples={name: torch.from_numpy(value) for name, value in feeds.items()},
        output=output.name,
        dimensions=dimensions,
        fused=way.form.fused,
    )


def _cases(head: TextHead, way: Way, sample: Sample, pad: int) -> Sequence[EncoderCase]:
    """All rows in one batch, the first ones alone, and two of them in a view that is longer than both."""
    parts: list[tuple[str, Sample, int]] = [("batch", sample, 0)]
    parts += [("single", sample.slice(index, index + 1), 0) for index in range(2)]
    if way.form.layout == "packed":  # the places of padded tokens depend on the width of the view
        parts.append(("wide", sample.slice(1, 3), max(map(len, sample.rows[1:3])) + 3))
    cases = []
    for name, part, width in parts:
        feeds = sample_feeds(part, way, pad, width)
        wanted = np.concatenate(part.wanted)
        cases.append(EncoderCase(name, feeds, wanted, lambda found, part=part: rows_of(found, part, head, way)))  # type: ignore[misc]
    return cases


def _embedding(source: EncoderSource, sentence: SentenceModel, head: TextHead, sample: Sample) -> EmbeddingHead:
    poolings = _poolings(source, sentence)
    if head.kind == "row_embedding":
        if source.pooling is not None:
            raise UnsupportedModel(
                str(source.model.config.model_type), "it makes one vector itself: pooling is its own"
            )
        poolings = ()
    size = int(sample.wanted[0].shape[-1]) * max(1, len(poolings))
    if sentence.projection is not None:
        with torch.no_grad():
            size = int(sentence.projection(torch.zeros(1, size)).shape[-1])
    return EmbeddingHead(
        pooling=None if not poolings else poolings[0] if len(poolings) == 1 else poolings,
        dimensions=size,
        # Texts and images of one model are compared by cosines, so both have a length of one.
        normalise=sentence.normalise or (source.sentence is None and head.kind == "row_embedding"),
        prefix_truncation=sentence.prefix_truncation,
        prompts=dict(sentence.prompts),
        default_prompt=sentence.default_prompt,
        include_prompt=sentence.include_prompt,
        default_dimensions=sentence.truncate_dim if (sentence.truncate_dim or size) < size else None,
    )


def _check_end(architecture: str, tokenizer_json: str | None, end: int) -> None:
    """Raises UnsupportedModel if rows lack the token that the head reads, which transformers refuses, too."""
    from tokenizers import Tokenizer

    if tokenizer_json is not None and end not in (tokenizer := Tokenizer.from_str(tokenizer_json)).encode("a").ids:
        reason = f"its head reads the token {tokenizer.id_to_token(end)!r} ({end}), which its tokenizer puts nowhere"
        raise UnsupportedModel(architecture, reason)


def _poolings(source: EncoderSource, sentence: SentenceModel) -> tuple[Pooling, ...]:
    """Asked for, else the sentence model's, else the mean."""
    return (source.pooling,) if source.pooling is not None else sentence.poolings or ("mean",)


def _mask_id(source: EncoderSource) -> int:
    """Of the token that stands for a missing one.

    Raises:
        UnsupportedModel: the tokenizer names none.
    """
    found = _any_mask_id(source)
    if found is None:
        raise UnsupportedModel(str(source.model.config.model_type), "its tokenizer has no mask token")
    return found


def _any_mask_id(source: EncoderSource) -> int | None:
    """The same, or None."""
    from tokenizers import Tokenizer

    given = getattr(source.model.config, "mask_token_id", None)
    token = source.tokenizer_config.get("mask_token")
    token = token.get("content") if isinstance(token, dict) else token
    if source.tokenizer_json is not None:
        tokenizer = Tokenizer.from_str(source.tokenizer_json)
        found = next((tokenizer.token_to_id(name) for name in _names(token) if tokenizer.token_to_id(name)), None)
        given = found if found is not None else given
    return given if isinstance(given, int) else None


def _names(token: object) -> tuple[str, ...]:
    return (token,) if isinstance(token, str) else ("[MASK]", "<mask>")
