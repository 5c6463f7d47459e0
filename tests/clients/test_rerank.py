"""Documents put in order: by Cohere's client, and by hand as Jina's users do (sota.md 3, row 18)."""

from __future__ import annotations

from typing import Any

import cohere
import httpx
import pytest
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc

from tests.system.server import HANGS_S, ServerProcess

QUERY = "where is my order"
DOCUMENTS = ["a parcel", "the weather of tomorrow", "an order that was sent", "b"]


def expected(server: ServerProcess) -> list[tuple[int, float]]:
    """Places and scores, best first."""
    stub: Any = encoding_pb2_grpc.EncodingStub(server.channel)
    request = encoding_pb2.RerankRequest(model="ranks", query=QUERY, documents=DOCUMENTS)
    return [(each.index, each.score) for each in stub.Rerank(request, timeout=HANGS_S).results]


def test_coheres_client(server: ServerProcess, cohere_client: cohere.ClientV2) -> None:
    found = cohere_client.rerank(model="ranks", query=QUERY, documents=DOCUMENTS)
    assert [(each.index, pytest.approx(each.relevance_score, abs=1e-6)) for each in found.results] == expected(server)
    best = cohere_client.rerank(model="ranks", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [each.index for each in best.results] == [place for place, _ in expected(server)[:2]]


def test_coheres_client_hears_what_is_wrong(cohere_client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.NotFoundError) as missing:
        cohere_client.rerank(model="nope", query=QUERY, documents=DOCUMENTS)
    assert "nope" in missing.value.body["message"]
    with pytest.raises(cohere.BadRequestError) as wrong:
        cohere_client.rerank(model="ranks", query=QUERY, documents=DOCUMENTS, top_n=0)
    assert "top_n" in wrong.value.body["message"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_by_hand(server: ServerProcess, path: str) -> None:
    asked: dict[str, Any] = {"model": "ranks", "query": QUERY, "documents": DOCUMENTS, "top_n": 3}
    if path != "/v2/rerank":
        asked["return_documents"] = True
    found = httpx.post(server.http + path, json=asked, timeout=HANGS_S).json()
    order = [place for place, _ in expected(server)[:3]]
    assert [each["index"] for each in found["results"]] == order
    if path != "/v2/rerank":
        assert [each["document"]["text"] for each in found["results"]] == [DOCUMENTS[place] for place in order]
    scores = [each["relevance_score"] for each in found["results"]]
    assert scores == sorted(scores, reverse=True)
