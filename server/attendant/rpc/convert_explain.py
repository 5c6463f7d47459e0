"""Calls of attendant.v1.Explain to core words, and their answers back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from attendant_proto.v1 import explain_pb2 as pb

from attendant.core.attention import AttentionKind, AttentionPiece, Reduction
from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt, TokenPrompt, Translation
from attendant.frontend.explain.calls import (
    Attended,
    AttentionCall,
    AttributeCall,
    Attribution,
    ExplainedToken,
    ExplainTimings,
    GivenAnswer,
    ImageFile,
    Method,
    Similarities,
    SimilarityCall,
    SoundFile,
    Subject,
    Unit,
    WordInContext,
)
from attendant.rpc.convert import timings_message
from attendant.rpc.convert_attention import KINDS, grid_message
from attendant.rpc.convert_chat import chat_prompt
from attendant.tasks.spans import Span

T = TypeVar("T")

KINDS_BY_NUMBER: Mapping[int, AttentionKind] = {
    pb.ATTENTION_KIND_UNSPECIFIED: "self",
    pb.ATTENTION_KIND_SELF: "self",
    pb.ATTENTION_KIND_ENCODER: "encoder",
    pb.ATTENTION_KIND_CROSS: "cross",
}
REDUCTIONS: Mapping[int, Reduction] = {
    pb.ATTENTION_REDUCTION_NONE: "none",
    pb.ATTENTION_REDUCTION_MEAN_HEADS: "mean_heads",
    pb.ATTENTION_REDUCTION_MAX_HEADS: "max_heads",
    pb.ATTENTION_REDUCTION_MEAN: "mean",
    pb.ATTENTION_REDUCTION_MAX: "max",
    pb.ATTENTION_REDUCTION_ROLLOUT: "rollout",
}
METHODS: Mapping[int, Method] = {
    pb.ATTRIBUTION_METHOD_OCCLUSION: "occlusion",
    pb.ATTRIBUTION_METHOD_ROLLOUT: "rollout",
}
UNITS: Mapping[int, Unit] = {pb.ATTRIBUTION_UNIT_WORD: "word", pb.ATTRIBUTION_UNIT_TOKEN: "token"}

MESSAGE_WEIGHTS = 2**19
"""Weights of a message, 4 bytes each: clients take messages of 4 MiB unless they are told otherwise."""


def attention_call(request: pb.AttentionRequest) -> AttentionCall:
    """A call as the front end wants it.

    Raises:
        InvalidRequest: no subject, or a number that stands for nothing.
    """
    return AttentionCall(
        model=request.model,
        subject=_subject(request.subject),
        answer=_answer(request),
        kind=_known("kind", request.kind, KINDS_BY_NUMBER),
        layers=tuple(request.layers),
        heads=tuple(request.heads),
        reduction=_known("reduction", request.reduction, REDUCTIONS),
        first_query=request.first_query,
        num_queries=request.num_queries,
        answer_only=request.answer_only,
        without_sink=request.without_sink,
    )


def attribute_call(request: pb.AttributeRequest) -> AttributeCall:
    """A call as the front end wants it. Raises InvalidRequest as :func:`attention_call`."""
    return AttributeCall(
        model=request.model,
        subject=_subject(request.subject),
        answer=_answer(request),
        label=request.label,
        method=_known("method", request.method, METHODS),
        unit=_known("unit", request.unit, UNITS),
        spans=tuple([Span(span.start, span.end) for span in request.spans]),
        mask=request.mask,
    )


def similarity_call(request: pb.SimilarityRequest) -> SimilarityCall:
    """A call as the front end wants it."""
    contexts = [WordInContext(each.text, each.word, each.occurrence) for each in request.contexts]
    return SimilarityCall(request.model, tuple(contexts))


def attention_responses(attended: Attended) -> Iterator[pb.AttentionResponse]:
    """The messages of a stream: what rows and columns are, weights layer by layer, the end."""
    header = pb.AttentionHeader(
        model=attended.model,
        kind=KINDS[attended.kind],
        num_layers=attended.num_layers,
        num_heads=attended.num_heads,
        queries=map(_token, attended.queries),
        keys=map(_token, attended.keys),
        first_query=attended.first_query,
        num_prompt_tokens=attended.num_prompt_tokens,
        answer=attended.answer.text,
        answer_ids=attended.answer.token_ids,
        answer_tokens=attended.answer.tokens,
        grid=grid_message(attended.grid),
        frame_s=attended.frame_s,
        source=attended.source,
    )
    yield pb.AttentionResponse(header=header)
    for piece in attended.pieces:
        for weights in _weights(piece):
            yield pb.AttentionResponse(weights=weights)
    yield pb.AttentionResponse(end=_end(attended.timings))


def attribute_response(found: Attribution) -> pb.AttributeResponse:
    """Parts and their shares."""
    parts = [
        pb.AttributedPart(
            text=part.text, start=part.start, end=part.end, weight=part.weight, token_weights=part.token_weights
        )
        for part in found.parts
    ]
    return pb.AttributeResponse(
        model=found.model,
        parts=parts,
        logprob=found.logprob,
        answer=found.answer.text,
        answer_ids=found.answer.token_ids,
        answer_tokens=found.answer.tokens,
        timings=timings_message(found.timings),
    )


def similarity_response(found: Similarities) -> pb.SimilarityResponse:
    """Words and cosines."""
    words = [pb.SimilarityTokens(tokens=map(_token, tokens)) for tokens in found.words]
    cosines = found.cosines.ravel().tolist()
    return pb.SimilarityResponse(model=found.model, words=words, cosines=cosines, timings=_end(found.timings))


def _subject(message: pb.Subject) -> Subject:
    translation = message.translation
    languages = Translation(translation.source_language, translation.target_language)
    return Subject(_given(message), message.second_text, languages if message.HasField("translation") else None)


def _given(message: pb.Subject) -> TextPrompt | TokenPrompt | ChatPrompt | ImageFile | SoundFile:
    match message.WhichOneof("input"):
        case "text":
            return TextPrompt(message.text, add_special_tokens=not message.no_special_tokens)
        case "token_ids":
            return TokenPrompt(tuple(message.token_ids.ids))
        case "chat":
            return chat_prompt(message.chat)
        case "image":
            return ImageFile(message.image)
        case "audio":
            return SoundFile(message.audio)
    allowed = ", ".join(field.name for field in pb.Subject.DESCRIPTOR.oneofs_by_name["input"].fields)
    raise InvalidRequest("subject", f"is missing; allowed: one of {allowed}")


def _answer(request: pb.AttentionRequest | pb.AttributeRequest) -> GivenAnswer | None:
    answer = request.answer
    match answer.WhichOneof("answer") if request.HasField("answer") else None:
        case "text":
            return GivenAnswer(text=answer.text)
        case "token_ids":
            return GivenAnswer(token_ids=tuple(answer.token_ids.ids))
        case "max_tokens":
            return GivenAnswer(max_tokens=answer.max_tokens)
    return None


def _known(field: str, number: int, known: Mapping[int, T]) -> T:
    if number not in known:
        raise InvalidRequest(field, f"is {number}; allowed: {min(known)} to {max(known)}")
    return known[number]


def _weights(piece: AttentionPiece) -> Iterator[pb.AttentionWeights]:
    """A piece in messages of at most MESSAGE_WEIGHTS, of whole heads, or of rows of one head."""
    num_heads, num_rows, num_keys = piece.weights.shape
    heads = max(MESSAGE_WEIGHTS // max(num_rows * num_keys, 1), 1)
    rows = num_rows if num_rows * num_keys <= MESSAGE_WEIGHTS else max(MESSAGE_WEIGHTS // num_keys, 1)
    for head in range(0, num_heads, heads):
        for row in range(0, num_rows, rows):
            part = piece.weights[head : head + heads, row : row + rows]
            yield pb.AttentionWeights(
                layer=piece.layer,
                heads=piece.heads[head : head + heads],
                data=part.astype("<f4").tobytes(),
                first_query=row,
            )


def _token(token: ExplainedToken) -> pb.ExplainedToken:
    return pb.ExplainedToken(id=token.id, text=token.text, start=token.start, end=token.end, special=token.special)


def _end(timings: ExplainTimings) -> pb.AttentionEnd:
    return pb.AttentionEnd(queue_s=timings.queue_ns / 1e9, run_s=timings.run_ns / 1e9, total_s=timings.total_ns / 1e9)
