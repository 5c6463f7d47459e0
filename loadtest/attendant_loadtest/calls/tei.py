"""Calls of Text Embeddings Inference, over gRPC and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attendant_proto.tei import tei_pb2 as pb

from attendant_loadtest.calls.route import Route
from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.subject import READS, Subject
from attendant_loadtest.calls.user import CallingUser

NUMBER = 4
"""Requests of a stream."""


def _rpc(method: str, asked: Callable[[Subject], Any], needs: str) -> Rpc:
    return Rpc(f"tei.v1.{method}", asked, needs, metadata=True)


def _both(service: str, method: str, asked: Callable[[Subject], Any], needs: str) -> tuple[Rpc, Rpc]:
    """A call, and the stream of many of it."""
    many = Rpc(
        f"tei.v1.{service}/{method}Stream",
        lambda ask: [asked(ask) for _ in range(NUMBER)],
        needs,
        metadata=True,
        answers=True,
    )
    return _rpc(f"{service}/{method}", asked, needs), many


def _parts(ask: Subject) -> list[pb.RerankStreamRequest]:
    return [pb.RerankStreamRequest(query="late parcel", text=ask.text(), truncate=True) for _ in range(NUMBER)]


def _sparse(ask: Subject) -> pb.EmbedSparseRequest:
    return pb.EmbedSparseRequest(inputs=ask.text(), truncate=True)


class TeiUser(CallingUser):
    """As TEI's clients call over gRPC."""

    calls = (
        _rpc("Info/Info", lambda ask: pb.InfoRequest(), "embed"),
        *_both("Embed", "Embed", lambda ask: pb.EmbedRequest(inputs=ask.text(), truncate=True), "embed"),
        *_both("Embed", "EmbedAll", lambda ask: pb.EmbedAllRequest(inputs=ask.text(), truncate=True), "embed"),
        *_both(
            "Embed", "EmbedSparse", lambda ask: pb.EmbedSparseRequest(inputs=ask.text(), truncate=True), "fill_mask"
        ),
        *_both("Predict", "Predict", lambda ask: pb.PredictRequest(inputs=ask.text(), truncate=True), "classify"),
        *_both(
            "Predict", "PredictPair", lambda ask: pb.PredictPairRequest(inputs=ask.texts(), truncate=True), "classify"
        ),
        _rpc(
            "Rerank/Rerank",
            lambda ask: pb.RerankRequest(query=ask.text(), texts=ask.texts(), truncate=True),
            "rerank",
        ),
        _rpc("Rerank/RerankStream", _parts, "rerank"),
        *_both("Tokenize", "Tokenize", lambda ask: pb.EncodeRequest(inputs=ask.text()), READS),
        *_both("Tokenize", "Decode", lambda ask: pb.DecodeRequest(ids=ask.ids()), READS),
    )


def _texts(ask: Subject) -> dict[str, Any]:
    return {"inputs": ask.texts(), "truncate": True}


class TeiHttpUser(CallingUser):
    """As TEI's clients call over HTTP. ``/rerank`` is also Jina's."""

    calls = (
        Route("/embed", _texts, "embed", header=True),
        Route("/embed_all", _texts, "embed", header=True),
        Route("/embed_sparse", _texts, "fill_mask", header=True),
        Route("/predict", lambda ask: {"inputs": ask.text(), "truncate": True}, "classify", header=True),
        Route(
            "/rerank",
            lambda ask: {"query": ask.text(), "texts": ask.texts(), "truncate": True},
            "rerank",
            header=True,
        ),
    )
