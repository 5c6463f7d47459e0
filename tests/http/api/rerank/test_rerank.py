"""Reranking, scores and labels over HTTP, by Cohere's own client and by plain requests: what the front end says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import cohere
import pytest
from attendant.frontend.encoding.calls import ClassifyCall, RerankCall, TextItem
from cohere.errors import BadRequestError, NotFoundError

from tests.http.api.served import ApiSite
from tests.synthetic_encoder import make_text_encoder
from tests.system.encoders import add_special_tokens

QUERY = "a"
DOCUMENTS = ("b", "ccc", "a", "a longer one")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    folder = tmp_path_factory.mktemp("bundles")
    ranks = make_text_encoder(folder / "ranks", "rerank", "padded", labels=("no", "yes"), name="ranks", max_tokens=64)
    add_special_tokens(ranks / "tokenizer.json")
    moods = make_text_encoder(folder / "moods", "classify", name="moods", max_tokens=64)
    site = ApiSite(ranks, moods)
    yield site
    site.close()


def ranked(site: ApiSite, *documents: str, query: str = QUERY, **fields: Any) -> list[tuple[int, float]]:
    """What the front end says: index and score, best first."""
    call = RerankCall("ranks", query, documents or DOCUMENTS, **fields)
    return [(each.index, each.score) for each in site.loop.run(site.front_end.encoding.rerank(call)).results]


def results(body: Any) -> list[tuple[int, float]]:
    return [(each["index"], each["relevance_score"]) for each in body["results"]]


def test_coheres_client(site: ApiSite) -> None:
    client = cohere.ClientV2(base_url=site.url, api_key="any")
    answer = client.rerank(model="ranks", query=QUERY, documents=list(DOCUMENTS), top_n=3)
    assert [(each.index, each.relevance_score) for each in answer.results] == ranked(site)[:3]
    assert answer.id
    assert answer.meta is not None
    assert answer.meta.tokens is not None
    assert answer.meta.tokens.input_tokens == sum(len(text) + len(QUERY) + 3 for text in DOCUMENTS)
    assert all(0 <= each.relevance_score <= 1 for each in answer.results)


def test_coheres_client_of_before(site: ApiSite) -> None:
    client = cohere.Client(base_url=site.url, api_key="any")
    documents: Any = ["b", {"text": "ccc", "title": "Three"}]
    answer = client.rerank(model="ranks", query=QUERY, documents=documents, return_documents=True)
    assert [(each.index, each.relevance_score) for each in answer.results] == ranked(site, "b", "ccc")
    (found,) = [each.document for each in answer.results if each.index == 1]
    assert found is not None
    assert (found.text, found.title) == ("ccc", "Three")  # type: ignore[attr-defined]


def test_coheres_client_asynchronously(site: ApiSite) -> None:
    async def main() -> list[int]:
        async with cohere.AsyncClientV2(base_url=site.url, api_key="any") as client:
            answer = await client.rerank(model="ranks", query=QUERY, documents=list(DOCUMENTS))
            return [each.index for each in answer.results]

    assert asyncio.run(main()) == [index for index, _ in ranked(site)]


def test_coheres_errors(site: ApiSite) -> None:
    client = cohere.ClientV2(base_url=site.url, api_key="any")
    with pytest.raises(NotFoundError) as unknown:
        client.rerank(model="x", query=QUERY, documents=["b"])
    assert "no model named 'x'" in unknown.value.body["message"]
    with pytest.raises(BadRequestError) as wrong:
        client.rerank(model="ranks", query=QUERY, documents=["b"], top_n=0)
    assert wrong.value.body["message"].startswith("top_n ")
    status, body = site.post("/v2/rerank/x", {})
    assert (status, set(body)) == (404, {"id", "message"})


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_as_jina_has_it(site: ApiSite, path: str) -> None:
    asked = {"model": "ranks", "query": QUERY, "documents": list(DOCUMENTS)}
    _, body = site.post(path, {**asked, "top_n": 2})
    assert results(body) == ranked(site)[:2]
    assert [each["document"] for each in body["results"]] == [{"text": DOCUMENTS[i]} for i, _ in ranked(site)[:2]]
    assert body["model"] == "ranks"
    assert body["usage"]["total_tokens"] == sum(len(text) + len(QUERY) + 3 for text in DOCUMENTS)
    _, body = site.post(path, {**asked, "return_documents": False})
    assert results(body) == ranked(site)
    assert set(body["results"][0]) == {"index", "relevance_score"}


def test_long_texts_are_cut_unless_that_is_not_wanted(site: ApiSite) -> None:
    asked = {"model": "ranks", "query": QUERY, "documents": ["b" * 500, "c"]}
    cut = ranked(site, "b" * 500, "c", truncate=True)
    assert results(site.post("/v1/rerank", asked)[1]) == results(site.post("/v2/rerank", asked)[1]) == cut
    for name in ("truncation", "truncate"):
        status, body = site.post("/v1/rerank", {**asked, name: False})
        assert (status, body["error"]["param"]) == (400, "documents[0]")


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_documents_are_cut_to_tokens(site: ApiSite, path: str) -> None:
    asked = {"model": "ranks", "query": QUERY, "documents": ["abcdef", "xyz"]}
    assert results(site.post(path, {**asked, "max_tokens_per_doc": 2})[1]) == ranked(site, "ab", "xy")
    assert results(site.post(path, {**asked, "max_tokens_per_doc": 3})[1]) == ranked(site, "abc", "xyz")
    assert results(site.post(path, {**asked, "max_tokens_per_doc": 4096})[1]) == ranked(site, "abcdef", "xyz")


def test_raw_scores(site: ApiSite) -> None:
    asked = {"model": "ranks", "query": QUERY, "documents": list(DOCUMENTS)}
    for name in ("use_activation", "activation"):
        assert results(site.post("/v1/rerank", {**asked, name: False})[1]) == ranked(site, raw_scores=True)
        assert results(site.post("/v1/rerank", {**asked, name: True})[1]) == ranked(site)


def test_scores_of_pairs(site: ApiSite) -> None:
    def scores(**fields: Any) -> list[float]:
        status, body = site.post("/score", {"model": "ranks", **fields})
        assert status == 200, body
        assert [each["index"] for each in body["data"]] == list(range(len(body["data"])))
        return [each["score"] for each in body["data"]]

    expected = [score for _, score in sorted(ranked(site))]
    assert scores(text_1=QUERY, text_2=list(DOCUMENTS)) == expected
    assert scores(queries=[QUERY] * 4, documents=list(DOCUMENTS)) == expected
    assert scores(text_1="x", text_2="y") == [ranked(site, "y", query="x")[0][1]]
    raw = scores(text_1=["x", "z"], text_2=["y", "b" * 500], use_activation=False, truncate_prompt_tokens=-1)
    assert raw == [
        ranked(site, "y", query="x", raw_scores=True)[0][1],
        ranked(site, "b" * 500, query="z", raw_scores=True, truncate=True)[0][1],
    ]


def test_labels_of_texts(site: ApiSite) -> None:
    call = ClassifyCall("moods", (TextItem("b"), TextItem("hello")))
    encoded = site.loop.run(site.front_end.encoding.classify(call))
    _, body = site.post("/classify", {"model": "moods", "input": ["b", "hello"]})
    for index, found in enumerate(encoded.results):
        told = body["data"][index]
        assert (told["index"], told["label"], told["num_classes"]) == (index, found[0].label, len(found))
        assert told["probs"] == [each.score for each in sorted(found, key=lambda each: each.index)]
    _, cut = site.post("/classify", {"model": "moods", "input": "hello" * 50, "truncate_prompt_tokens": 5})
    assert cut["data"][0]["probs"] == body["data"][1]["probs"]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/rerank", {"documents": []}, "documents"),
        ("/v1/rerank", {"documents": "x"}, "documents"),
        ("/v1/rerank", {"documents": ["x", {"title": "x"}]}, "documents[1]"),
        ("/v1/rerank", {"documents": [{"image": "x"}]}, "documents[0]"),
        ("/v1/rerank", {"documents": ["x"] * 10_001}, "documents"),
        ("/v1/rerank", {"query": {"text": "x"}}, "query"),
        ("/v1/rerank", {"top_n": 0}, "top_n"),
        ("/v1/rerank", {"rank_fields": ["title"]}, "rank_fields[0]"),
        ("/v1/rerank", {"max_chunks_per_doc": 10}, "max_chunks_per_doc"),
        ("/v1/rerank", {"max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ("/v1/rerank", {"return_embeddings": True}, "return_embeddings"),
        ("/v1/rerank", {"truncate_prompt_tokens": 7}, "truncate_prompt_tokens"),
        ("/v1/rerank", {"use_activation": False, "activation": True}, "activation"),
        ("/v1/rerank", {"priority": 3}, "priority"),
        ("/v1/rerank", {"model": "moods"}, "model"),
        ("/v1/rerank", {"texts": ["x"]}, "texts"),
        ("/score", {"text_1": ["x", "y"], "text_2": ["a", "b", "c"]}, "text_1"),
        ("/score", {"text_1": [], "text_2": "x"}, "text_1"),
        ("/score", {"text_1": "x", "text_2": [1]}, "text_2"),
        ("/score", {"text_1": ["x", "y"], "text_2": ["a", "b" * 100]}, "text_2[1]"),
        ("/score", {"text_1": "x", "text_2": ["a", "b" * 100]}, "text_2[1]"),
        ("/classify", {"model": "moods", "input": []}, "input"),
        ("/classify", {"model": "moods", "input": ["x", "y" * 100]}, "input[1]"),
        ("/classify", {"model": "moods", "input": "x", "truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ("/classify", {"input": "x"}, "model"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(site: ApiSite, path: str, fields: dict[str, Any], param: str) -> None:
    least: dict[str, Any] = {"query": "x", "documents": ["y"]} if path == "/v1/rerank" else {}
    status, body = site.post(path, {"model": "ranks", **least, **fields})
    assert (status, body["error"]["param"]) == (400, param), body


def test_a_model_that_is_not_named_is_the_only_one(site: ApiSite) -> None:
    _, body = site.post("/v1/rerank", {"query": QUERY, "documents": list(DOCUMENTS)})
    assert results(body) == ranked(site)
