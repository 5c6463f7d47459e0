"""The tensors of models that encode, by task: what ports take and give, and what metadata tells."""

from __future__ import annotations

from attendant.bundle import EncoderManifest, ImageInput, PatchInput
from attendant.rpc.openinference.ports import Datatype, TensorSpec

WHOLE: tuple[Datatype, ...] = ("INT32",)
"""What will do beside INT64."""


def taken(name: str, datatype: Datatype, *shape: int, also: tuple[Datatype, ...] = ()) -> TensorSpec:
    """An input that a request may leave out: of several ways in, it takes one."""
    return TensorSpec(name, datatype, shape, optional=True, also=also)


def given(name: str, datatype: Datatype, *shape: int) -> TensorSpec:
    """An output."""
    return TensorSpec(name, datatype, shape)


TOKENS = (
    taken("input_ids", "INT64", -1, -1, also=WHOLE),
    taken("attention_mask", "INT64", -1, -1, also=(*WHOLE, "BOOL")),
    taken("token_type_ids", "INT64", -1, -1, also=WHOLE),
)
TEXT_ITEMS = taken("text", "BYTES", -1), taken("text_pair", "BYTES", -1), *TOKENS
COUNT = given("count", "INT64", -1)
"""Of results that each input has: those of all inputs stand one after another."""

SPARSE = given("token_id", "INT64", -1), given("weight", "FP32", -1), COUNT

LABELS = (given("label", "BYTES", -1, -1), given("score", "FP32", -1, -1), given("index", "INT64", -1, -1))


def inputs_of(manifest: EncoderManifest) -> tuple[TensorSpec, ...]:
    """All that a request to a model may have."""
    match manifest.task:
        case "embed" | "classify":
            return TEXT_ITEMS
        case "classify_tokens" | "fill_mask":
            return taken("text", "BYTES", -1), *TOKENS
        case "answer":
            return taken("question", "BYTES", -1), taken("context", "BYTES", -1), *TOKENS
        case "rerank":
            return taken("query", "BYTES", 1), taken("documents", "BYTES", -1), *TOKENS
        case "classify_image" | "embed_image":
            spec = manifest.input
            if isinstance(spec, PatchInput):
                return (taken("image", "BYTES", -1),)
            assert isinstance(spec, ImageInput), "the manifest's task takes images"
            return taken("image", "BYTES", -1), taken("pixel_values", "FP32", -1, 3, spec.height, spec.width)
        case "transcribe" | "classify_audio":
            mask = taken("attention_mask", "INT64", -1, -1, also=(*WHOLE, "BOOL"))
            return taken("audio", "BYTES", -1), taken("samples", "FP32", -1, -1), mask


def outputs_of(manifest: EncoderManifest) -> tuple[TensorSpec, ...]:
    """All that a response of a model may have."""
    match manifest.task:
        case "embed":
            by_token = (
                given("token_embedding", "FP32", -1, -1),
                given("token_id", "INT64", -1),
                given("token_span", "INT64", -1, 2),
                COUNT,
            )
            alone = manifest.embedding is not None and manifest.embedding.pooling is None
            return given("embedding", "FP32", -1, -1), *(() if alone else by_token)
        case "embed_image":
            return (given("embedding", "FP32", -1, -1),)
        case "classify" | "classify_image" | "classify_audio":
            return LABELS
        case "rerank":
            return given("index", "INT64", -1), given("score", "FP32", -1), given("document", "BYTES", -1)
        case "classify_tokens":
            return *_spans("label"), given("logits", "FP32", -1, len(manifest.labels))
        case "answer":
            return *_spans("answer"), given("logits", "FP32", -1, 2)
        case "fill_mask":
            fills = given("token_id", "INT64", -1, -1), given("token", "BYTES", -1, -1), given("score", "FP32", -1, -1)
            texts = given("filled_text", "BYTES", -1, -1), given("span", "INT64", -1, 2), COUNT
            return *fills, *texts, given("logits", "FP32", -1, -1)
        case "transcribe":
            words = given("word", "BYTES", -1), given("word_time_s", "FP32", -1, 2), COUNT
            return given("text", "BYTES", -1), *words, given("warning", "BYTES", -1)


def _spans(named: str) -> tuple[TensorSpec, ...]:
    text = () if named == "answer" else (given("text", "BYTES", -1),)
    return given(named, "BYTES", -1), given("score", "FP32", -1), given("span", "INT64", -1, 2), *text, COUNT


DATA = ("text", "input_ids", "question", "query", "image", "pixel_values", "audio", "samples")
"""Inputs of which a request has one, which says which way in it takes."""
