"""Results of the front end as TEI's messages, and what a call took as its metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from attendant_proto.tei import tei_pb2 as pb
from google.protobuf.message import Message

from attendant.frontend.encoding.calls import Encoded, EncodingUsage
from attendant.models.info import Piece
from attendant.rpc.convert_encoding import packed_floats
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.embeddings import Embedding
from attendant.tasks.sparse import SparseEmbedding

MANY = 2_000
"""Values or tokens of a response from which on it is written in a thread."""

TIMES = (
    ("x-total-time", "total_time_ns"),
    ("x-tokenization-time", "tokenization_time_ns"),
    ("x-queue-time", "queue_time_ns"),
    ("x-inference-time", "inference_time_ns"),
)


R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """The response to one request, and what it took; None where that is not told."""

    message: R
    usage: EncodingUsage | None = None


def embed_response(encoded: Encoded[Embedding], characters: int) -> pb.EmbedResponse:
    """A vector, of a call of one text with so many characters."""
    (embedding,) = encoded.results
    assert embedding.values is not None, "the call asked for one vector"
    response = pb.EmbedResponse.FromString(packed_floats(pb.EmbedResponse.EMBEDDINGS_FIELD_NUMBER, embedding.values))
    response.metadata.CopyFrom(metadata_of(encoded.usage, characters))
    return response


async def embed_sparse_response(encoded: Encoded[SparseEmbedding], characters: int) -> pb.EmbedSparseResponse:
    """A sparse vector, by index."""
    (vector,) = encoded.results

    def write() -> pb.EmbedSparseResponse:
        pairs = zip(vector.indices.tolist(), vector.values.tolist(), strict=True)
        values = [pb.SparseValue(index=index, value=value) for index, value in pairs]
        return pb.EmbedSparseResponse(sparse_embeddings=values, metadata=metadata_of(encoded.usage, characters))

    return await asyncio.to_thread(write) if len(vector.indices) > MANY else write()


def embed_all_response(encoded: Encoded[Embedding], characters: int) -> pb.EmbedAllResponse:
    """A vector of each token, special ones included."""
    (embedding,) = encoded.results
    assert embedding.token_values is not None, "the call asked for one of each token"
    response = pb.EmbedAllResponse(metadata=metadata_of(encoded.usage, characters))
    for vector in embedding.token_values:
        field = packed_floats(pb.TokenEmbedding.EMBEDDINGS_FIELD_NUMBER, vector)
        response.token_embeddings.add().MergeFromString(field)
    return response


def predict_response(encoded: Encoded[tuple[Label, ...]], characters: int) -> pb.PredictResponse:
    """Labels, highest score first."""
    (labels,) = encoded.results
    predictions = [pb.Prediction(score=label.score, label=label.label) for label in labels]
    return pb.PredictResponse(predictions=predictions, metadata=metadata_of(encoded.usage, characters))


def rerank_response(encoded: Encoded[RankedDocument], characters: int, *, with_text: bool) -> pb.RerankResponse:
    """Ranks, highest score first."""
    ranks = [
        pb.Rank(index=found.index, score=found.score, text=found.document if with_text else None)
        for found in encoded.results
    ]
    return pb.RerankResponse(ranks=ranks, metadata=metadata_of(encoded.usage, characters))


async def encode_response(text: str, pieces: Sequence[Piece]) -> pb.EncodeResponse:
    """Tokens: a special one with its name, another with its part of the text."""

    def write() -> pb.EncodeResponse:
        return pb.EncodeResponse(tokens=[_token(text, piece) for piece in pieces])

    return await asyncio.to_thread(write) if len(pieces) > MANY else write()


def metadata_of(usage: EncodingUsage, characters: int) -> pb.Metadata:
    """What a call took."""
    return pb.Metadata(
        compute_chars=characters,
        compute_tokens=usage.num_tokens,
        total_time_ns=usage.total_ns,
        tokenization_time_ns=usage.preprocess_ns,
        queue_time_ns=usage.queue_ns,
        inference_time_ns=usage.compute_ns,
    )


def told(metadata: pb.Metadata, *, on_gpu: bool) -> tuple[tuple[str, str], ...]:
    """The same as the metadata of a unary call, under TEI's names; times in whole milliseconds."""
    times: dict[str, Any] = {key: getattr(metadata, field) // 1_000_000 for key, field in TIMES}
    counts = {
        "x-compute-time": times["x-total-time"],
        "x-compute-characters": metadata.compute_chars,
        "x-compute-tokens": metadata.compute_tokens,
    }
    compute = ("x-compute-type", "gpu+optimized" if on_gpu else "cpu+optimized")
    return (compute, *((key, str(value)) for key, value in (counts | times).items()))


def _token(text: str, piece: Piece) -> pb.SimpleToken:
    if piece.special:
        return pb.SimpleToken(id=piece.token_id, text=piece.token, special=True)
    part = text[piece.start : piece.end]
    return pb.SimpleToken(id=piece.token_id, text=part, special=False, start=piece.start, stop=piece.end)
