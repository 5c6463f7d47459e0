"""Wire messages of attendant.v1.Encoding to the front end's calls, and its results back. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attendant_proto.v1 import encoding_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import (
    AnswerCall,
    Audio,
    ClassifyAudioCall,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedImageCall,
    Encoded,
    EncodingUsage,
    FillMaskCall,
    Question,
    RerankCall,
    TextItem,
    TranscribeCall,
)
from attendant.rpc.convert import step_message
from attendant.tasks.answers import DEFAULT_ANSWER_TOKENS, Answer
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.ctc import Transcript
from attendant.tasks.embeddings import Embedding
from attendant.tasks.masks import DEFAULT_FILLS, FilledMask
from attendant.tasks.spans import Span
from attendant.tasks.tokens import Aggregation, Entity
from attendant.tasks.vectors import Floats

AGGREGATIONS = {
    pb.AGGREGATION_UNSPECIFIED: Aggregation.SIMPLE,
    pb.AGGREGATION_NONE: Aggregation.NONE,
    pb.AGGREGATION_SIMPLE: Aggregation.SIMPLE,
    pb.AGGREGATION_FIRST: Aggregation.FIRST,
    pb.AGGREGATION_AVERAGE: Aggregation.AVERAGE,
    pb.AGGREGATION_MAX: Aggregation.MAX,
}

# -- requests; those of the front end's rules that need no model are checked there, not here


def embed_call(request: pb.EmbedRequest) -> EmbedCall:
    """Raises InvalidRequest: an input that is neither text nor token ids."""
    return EmbedCall(
        model=request.model,
        inputs=_text_items(request.inputs),
        truncate=request.truncate,
        dimensions=_optional(request, "dimensions"),
        normalize=_optional(request, "normalize"),
        per_token=request.per_token,
        prompt=request.prompt,
        no_prompt=request.no_prompt,
        truncate_left=request.truncate_left,
        receipt=request.receipt,
    )


def classify_call(request: pb.ClassifyRequest) -> ClassifyCall:
    """Raises InvalidRequest: an input that is neither text nor token ids."""
    return ClassifyCall(
        model=request.model,
        inputs=_text_items(request.inputs),
        truncate=request.truncate,
        top_k=_optional(request, "top_k"),
        raw_scores=request.raw_scores,
        truncate_left=request.truncate_left,
        receipt=request.receipt,
    )


def classify_tokens_call(request: pb.ClassifyTokensRequest) -> ClassifyTokensCall:
    """Raises InvalidRequest: an aggregation that does not exist."""
    aggregation = AGGREGATIONS.get(request.aggregation)
    if aggregation is None:
        allowed = ", ".join(pb.Aggregation.keys())
        raise InvalidRequest("aggregation", f"is {int(request.aggregation)}; allowed: {allowed}")
    return ClassifyTokensCall(
        model=request.model,
        texts=tuple(request.texts),
        truncate=request.truncate,
        aggregation=aggregation,
        stride=_optional(request, "stride"),
        keep_outside=request.keep_outside,
        receipt=request.receipt,
    )


def answer_call(request: pb.AnswerRequest) -> AnswerCall:
    """Absent numbers become their defaults."""
    return AnswerCall(
        model=request.model,
        inputs=tuple(Question(item.question, item.context) for item in request.inputs),
        truncate=request.truncate,
        top_k=_optional(request, "top_k", 1),
        max_answer_tokens=_optional(request, "max_answer_tokens", DEFAULT_ANSWER_TOKENS),
        stride=_optional(request, "stride"),
        allow_no_answer=request.allow_no_answer,
        receipt=request.receipt,
    )


def rerank_call(request: pb.RerankRequest) -> RerankCall:
    """The call that a request asks for."""
    return RerankCall(
        model=request.model,
        query=request.query,
        documents=tuple(request.documents),
        truncate=request.truncate,
        top_k=_optional(request, "top_k"),
        return_documents=request.return_documents,
        raw_scores=request.raw_scores,
        truncate_left=request.truncate_left,
        receipt=request.receipt,
    )


def fill_mask_call(request: pb.FillMaskRequest) -> FillMaskCall:
    """Absent numbers become their defaults."""
    top_k = _optional(request, "top_k", DEFAULT_FILLS)
    return FillMaskCall(request.model, tuple(request.texts), request.truncate, top_k, receipt=request.receipt)


def classify_image_call(request: pb.ClassifyImageRequest) -> ClassifyImageCall:
    """The call that a request asks for."""
    top_k = _optional(request, "top_k")
    return ClassifyImageCall(request.model, tuple(request.images), top_k, request.raw_scores, receipt=request.receipt)


def embed_image_call(request: pb.EmbedImageRequest) -> EmbedImageCall:
    """The call that a request asks for."""
    dimensions, normalize = _optional(request, "dimensions"), _optional(request, "normalize")
    return EmbedImageCall(request.model, tuple(request.images), dimensions, normalize, receipt=request.receipt)


def classify_audio_call(request: pb.ClassifyAudioRequest) -> ClassifyAudioCall:
    """Raises InvalidRequest: an input that is neither a file nor samples."""
    return ClassifyAudioCall(
        model=request.model,
        inputs=tuple(_audio(index, item) for index, item in enumerate(request.inputs)),
        truncate=request.truncate,
        top_k=_optional(request, "top_k"),
        raw_scores=request.raw_scores,
        receipt=request.receipt,
    )


def transcribe_call(request: pb.TranscribeRequest) -> TranscribeCall:
    """Raises InvalidRequest: an input that is neither a file nor samples."""
    inputs = tuple(_audio(index, item) for index, item in enumerate(request.inputs))
    return TranscribeCall(request.model, inputs, receipt=request.receipt)


# -- responses


def embed_response(encoded: Encoded[Embedding]) -> pb.EmbedResponse:
    """Vectors."""
    return pb.EmbedResponse(embeddings=map(_embedding, encoded.results), usage=_usage(encoded.usage))


def classify_response(encoded: Encoded[tuple[Label, ...]]) -> pb.ClassifyResponse:
    """Labels."""
    results = [
        pb.Classification(labels=[pb.Label(label=x.label, score=x.score, index=x.index) for x in labels])
        for labels in encoded.results
    ]
    return pb.ClassifyResponse(results=results, usage=_usage(encoded.usage))


def classify_tokens_response(encoded: Encoded[tuple[Entity, ...]]) -> pb.ClassifyTokensResponse:
    """Labelled spans."""
    results = [
        pb.TokenClassification(
            entities=[pb.Entity(label=x.label, score=x.score, span=_span(x.span), text=x.text) for x in entities]
        )
        for entities in encoded.results
    ]
    return pb.ClassifyTokensResponse(results=results, usage=_usage(encoded.usage))


def answer_response(encoded: Encoded[tuple[Answer, ...]]) -> pb.AnswerResponse:
    """Answers."""
    results = [
        pb.Answers(answers=[pb.Answer(text=x.text, score=x.score, span=_span(x.span)) for x in answers])
        for answers in encoded.results
    ]
    return pb.AnswerResponse(results=results, usage=_usage(encoded.usage))


def rerank_response(encoded: Encoded[RankedDocument]) -> pb.RerankResponse:
    """Ranks."""
    results = [pb.RankedDocument(index=x.index, score=x.score, document=x.document) for x in encoded.results]
    return pb.RerankResponse(results=results, usage=_usage(encoded.usage))


def fill_mask_response(encoded: Encoded[tuple[FilledMask, ...]]) -> pb.FillMaskResponse:
    """Filled masks."""
    results = [pb.FilledText(masks=map(_filled_mask, masks)) for masks in encoded.results]
    return pb.FillMaskResponse(results=results, usage=_usage(encoded.usage))


def transcribe_response(encoded: Encoded[Transcript]) -> pb.TranscribeResponse:
    """Texts and their words."""
    results = [
        pb.Transcript(
            text=transcript.text,
            words=[pb.Word(text=x.text, start_s=x.start_s, end_s=x.end_s) for x in transcript.words],
            warnings=transcript.warnings,
        )
        for transcript in encoded.results
    ]
    return pb.TranscribeResponse(results=results, usage=_usage(encoded.usage))


def _optional(message: Any, field: str, default: Any = None) -> Any:
    return getattr(message, field) if message.HasField(field) else default


def _text_items(inputs: Sequence[pb.TextInput]) -> tuple[TextItem, ...]:
    return tuple(_text_item(index, item) for index, item in enumerate(inputs))


def _text_item(index: int, item: pb.TextInput) -> TextItem:
    match item.WhichOneof("input"):
        case "text":
            return TextItem(item.text, item.pair)
        case "token_ids":
            if item.pair:
                raise InvalidRequest(f"inputs[{index}].pair", "is beside token_ids; allowed: beside text")
            return TextItem(token_ids=tuple(item.token_ids.ids))
    raise InvalidRequest(f"inputs[{index}]", "is missing; allowed: one of text, token_ids")


def _audio(index: int, item: pb.AudioInput) -> Audio:
    match item.WhichOneof("input"):
        case "wav":
            return Audio(item.wav, is_wav=True)
        case "samples":
            return Audio(item.samples, is_wav=False, sampling_rate=item.sampling_rate)
    raise InvalidRequest(f"inputs[{index}]", "is missing; allowed: one of wav, samples")


def _usage(usage: EncodingUsage) -> pb.EncodingUsage:
    return pb.EncodingUsage(
        num_tokens=usage.num_tokens,
        num_truncated=usage.num_truncated,
        queue_s=usage.queue_ns / 1e9,
        preprocess_s=usage.preprocess_ns / 1e9,
        compute_s=usage.compute_ns / 1e9,
        total_s=usage.total_ns / 1e9,
        steps=map(step_message, usage.steps),
    )


def _embedding(embedding: Embedding) -> pb.Embedding:
    if embedding.values is not None:
        return pb.Embedding.FromString(packed_floats(pb.Embedding.VALUES_FIELD_NUMBER, embedding.values))
    assert embedding.token_values is not None, "an embedding has one vector or one for each token"
    assert embedding.token_ids is not None, "an embedding by token has their ids"
    assert embedding.token_spans is not None, "an embedding by token has their spans"
    message = pb.Embedding()
    for vector, token_id, (start, end) in zip(
        embedding.token_values, embedding.token_ids.tolist(), embedding.token_spans.tolist(), strict=True
    ):
        token = message.tokens.add(token_id=token_id, span=pb.Span(start=start, end=end))
        token.MergeFromString(packed_floats(pb.TokenEmbedding.VALUES_FIELD_NUMBER, vector))
    return message


def packed_floats(field_number: int, values: Floats) -> bytes:
    """A field of repeated floats as it is on the wire: ten times faster than a Python float for each."""
    data = values.astype("<f4", copy=False).tobytes()
    head = bytearray([field_number << 3 | 2])
    length = len(data)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + data


def _span(span: Span) -> pb.Span:
    return pb.Span(start=span.start, end=span.end)


def _filled_mask(mask: FilledMask) -> pb.FilledMask:
    fills = [pb.Fill(token_id=x.token_id, token=x.token, score=x.score, text=x.text) for x in mask.fills]
    return pb.FilledMask(span=_span(mask.span), fills=fills)
