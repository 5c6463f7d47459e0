"""TEI's API over HTTP: what the front end says, in TEI's lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attendant.bundle import EmbeddingHead
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall, EmbedSparseCall, RerankCall, TextItem
from attendant.http.api.tei import routes

from tests.http.api.served import ApiSite
from tests.synthetic_encoder import make_text_encoder
from tests.system.encoders import add_special_tokens

TEXTS = ("hello", "a longer text")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    folder = tmp_path_factory.mktemp("bundles")
    head = EmbeddingHead(pooling="mean", dimensions=4, prompts={"query": "q: "})
    made = [
        make_text_encoder(folder / "vectors", "embed", embedding=head, name="vectors", max_tokens=64),
        make_text_encoder(folder / "ranks", "rerank", "padded", labels=("no", "yes"), name="ranks", max_tokens=64),
        make_text_encoder(folder / "moods", "classify", name="moods", max_tokens=64),
        make_text_encoder(folder / "masks", "fill_mask", name="masks", max_tokens=64),
    ]
    for bundle in made:
        add_special_tokens(bundle / "tokenizer.json")
    site = ApiSite(*made)
    yield site
    site.close()


def vectors(site: ApiSite, *items: TextItem, **fields: Any) -> list[Any]:
    encoded = site.loop.run(site.front_end.encoding.embed(EmbedCall("vectors", items, **fields)))
    found = [each.values if each.values is not None else each.token_values for each in encoded.results]
    return [each.tolist() for each in found if each is not None]


def answer(site: ApiSite, path: str, **fields: Any) -> Any:
    status, body = site.post(path, fields)
    assert status == 200, body
    return body


@pytest.fixture(params=[False, True], ids=["short", "long"])
def _in_a_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(routes, "MANY_NUMBERS", 1)
        monkeypatch.setattr(routes, "MANY_LABELS", 1)


@pytest.mark.usefixtures("_in_a_thread")
def test_vectors(site: ApiSite) -> None:
    items = [TextItem(text) for text in TEXTS]
    assert answer(site, "/embed", inputs=list(TEXTS)) == vectors(site, *items, normalize=True)
    assert answer(site, "/embed", inputs="hello") == vectors(site, items[0], normalize=True)
    assert answer(site, "/embed", inputs=[1, 70, 2], normalize=False) == vectors(
        site, TextItem(token_ids=[1, 70, 2]), normalize=False
    )
    asked = {"prompt": "query", "dimensions": 2, "truncate": True, "truncate_left": True}
    told = {"prompt_name": "query", "dimensions": 2, "truncate": True, "truncation_direction": "Left"}
    assert answer(site, "/embed", inputs="ab" * 99, **told) == vectors(
        site, TextItem("ab" * 99), normalize=True, **asked
    )
    assert answer(site, "/embed_all", inputs=list(TEXTS)) == vectors(site, *items, per_token=True)


@pytest.mark.usefixtures("_in_a_thread")
def test_sparse_vectors(site: ApiSite) -> None:
    call = EmbedSparseCall("masks", [TextItem(text) for text in TEXTS])
    encoded = site.loop.run(site.front_end.encoding.embed_sparse(call))
    found = answer(site, "/embed_sparse", inputs=list(TEXTS))
    assert [[each["index"] for each in one] for one in found] == [each.indices.tolist() for each in encoded.results]
    assert [[each["value"] for each in one] for one in found] == [each.values.tolist() for each in encoded.results]


@pytest.mark.usefixtures("_in_a_thread")
def test_labels(site: ApiSite) -> None:
    def labels(*items: TextItem, **fields: Any) -> list[Any]:
        encoded = site.loop.run(site.front_end.encoding.classify(ClassifyCall("moods", items, **fields)))
        return [[{"score": label.score, "label": label.label} for label in each] for each in encoded.results]

    assert answer(site, "/predict", inputs="hello") == labels(TextItem("hello"))[0]
    assert answer(site, "/predict", inputs=["hello"]) == labels(TextItem("hello"))[0]
    assert answer(site, "/predict", inputs=["a", "b"]) == labels(TextItem("a", "b"))[0]
    assert answer(site, "/predict", inputs=[["a", "b"], ["c"]]) == labels(TextItem("a", "b"), TextItem("c"))
    assert answer(site, "/predict", inputs=[["a"]], raw_scores=True) == labels(TextItem("a"), raw_scores=True)


def test_ranks(site: ApiSite) -> None:
    def ranks(**fields: Any) -> list[Any]:
        encoded = site.loop.run(site.front_end.encoding.rerank(RerankCall("ranks", "a", TEXTS, **fields)))
        return [{"index": each.index, "score": each.score} for each in encoded.results]

    asked = {"query": "a", "texts": list(TEXTS)}
    assert answer(site, "/rerank", **asked) == ranks()
    assert answer(site, "/rerank", **asked, raw_scores=True) == ranks(raw_scores=True)
    with_text = answer(site, "/rerank", **asked, return_text=True)
    assert with_text == [{**each, "text": TEXTS[each["index"]]} for each in ranks()]
    wrong = site.post("/rerank", {"query": "a", "documents": ["b"], "activation": True, "use_activation": False})
    assert (wrong[0], wrong[1]["error"]["param"]) == (400, "activation")
    as_jina_has_it = answer(site, "/rerank", query="a", documents=list(TEXTS))
    assert [each["relevance_score"] for each in as_jina_has_it["results"]] == [each["score"] for each in ranks()]


def test_what_is_wrong_with_a_body_of_jinas_is_told_as_openai_tells_it(site: ApiSite) -> None:
    for fields, param in (({"documents": ["x"]}, "query"), ({"query": "x", "documents": [1]}, "documents[0]")):
        status, body = site.post("/rerank", fields)
        assert (status, body["error"]["param"]) == (400, param)


def test_a_header_names_the_model(site: ApiSite) -> None:
    assert site.post("/predict", {"inputs": "x"}, model="moods")[0] == 200
    status, body = site.post("/predict", {"inputs": "x"}, model="nothing")
    assert (status, body["error_type"]) == (404, "Validation")
    assert "'nothing'" in body["error"]


@pytest.mark.parametrize(
    ("path", "fields", "field"),
    [
        ("/embed", {}, "inputs"),
        ("/embed", {"inputs": []}, "inputs"),
        ("/embed", {"inputs": ["x"], "dimensions": 9}, "dimensions"),
        ("/embed", {"inputs": ["x", "y" * 100]}, "inputs[1]"),
        ("/embed", {"inputs": "x", "prompt_name": "title"}, "prompt_name"),
        ("/embed", {"inputs": "x", "truncation_direction": "Up"}, "truncation_direction"),
        ("/embed_sparse", {"inputs": "x", "prompt_name": "title"}, "prompt_name"),
        ("/predict", {"inputs": ["a", "b", "c"]}, "inputs"),
        ("/predict", {"inputs": [["a"], ["a", 1]]}, "inputs[1]"),
        ("/predict", {"inputs": "x" * 100}, "inputs[0]"),
        ("/rerank", {"query": "x", "texts": []}, "texts"),
        ("/rerank", {"query": "x", "texts": ["a", "b" * 100]}, "texts[1]"),
        ("/rerank", {"query": "x", "texts": ["a"], "top_n": 1}, "top_n"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(site: ApiSite, path: str, fields: dict[str, Any], field: str) -> None:
    status, body = site.post(path, fields)
    assert (status, body["error_type"], body["error"].split()[0]) == (400, "Validation", field)
