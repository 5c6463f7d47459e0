"""Ensembles of models that encode: what callers get is what numpy makes of the members' own answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, Draining, InvalidRequest, ModelFailed
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall, LogitsCall, RerankCall, TextItem
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.info import ModelInfo
from attendant.tasks.classification import Label
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import ids, items
from tests.frontend.routes.helpers import counted, with_routes
from tests.synthetic_encoder import POISON, make_text_encoder

TEXTS = ("a", "some words", "others")
DOCUMENTS = ("first", "a second one", "x", "the last of them")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Classifiers of the same labels in other orders, rerankers, and models that embed."""
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_text_encoder(folder / "moods"),
        make_text_encoder(folder / "moods-again", labels=("yes", "no", "maybe")),
        make_text_encoder(folder / "ranks", "rerank", labels=("fits",)),
        make_text_encoder(folder / "vectors", "embed"),
        make_text_encoder(
            folder / "unit", "embed", embedding=EmbeddingHead(pooling="cls", dimensions=4, normalise=True)
        ),
    ]


ROUTES = """
routes:
  mean: {kind: mean, members: [{model: moods, weight: 3}, {model: moods-again}]}
  vote: {kind: vote, members: [{model: moods}, {model: moods-again}, {model: other}]}
  other: {kind: alias, model: moods}
  space: {kind: mean, task: embed, members: [{model: vectors}, {model: unit, weight: 0.5}]}
  order: {kind: mean, task: rerank, members: [{model: ranks}]}
  search: {kind: rrf, k: 10, members: [{model: ranks, weight: 2}, {model: vectors}]}
  near: {kind: rrf, members: [{model: unit}]}
  tough: {kind: mean, on_failure: rest, members: [{model: moods, weight: 3}, {model: moods-again}]}
"""


def scores(results: Sequence[Sequence[Label]]) -> np.ndarray:
    """[inputs, labels] by the names of the labels."""
    return np.array([[label.score for label in sorted(each, key=lambda label: label.label)] for each in results])


def test_the_mean_is_what_numpy_makes_of_it(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        classify = front_end.encoding.classify
        one, two = [(await classify(ClassifyCall(m, items(*TEXTS)))).results for m in ("moods", "moods-again")]
        found = await classify(ClassifyCall("mean", items(*TEXTS)))
        expected = np.average([scores(one), scores(two)], axis=0, weights=[3, 1])
        assert scores(found.results) == pytest.approx(expected, abs=1e-12)
        assert all(list(each) == sorted(each, key=lambda label: -label.score) for each in found.results)
        assert {(label.label, label.index) for label in found.results[0]} == {("no", 0), ("maybe", 1), ("yes", 2)}
        assert [(step.name, step.model) for step in found.usage.steps] == [
            ("moods", "moods"),
            ("moods-again", "moods-again"),
        ]
        assert found.usage.num_tokens == 2 * sum(len(ids(text)) for text in TEXTS)
        raw = await classify(ClassifyCall("mean", items("a"), raw_scores=True, top_k=2))
        logits = [
            (await classify(ClassifyCall(m, items("a"), raw_scores=True))).results for m in ("moods", "moods-again")
        ]
        best = np.sort(np.average([scores(each) for each in logits], axis=0, weights=[3, 1])[0])[::-1][:2]
        assert [label.score for label in raw.results[0]] == pytest.approx(best.tolist())

    with_routes(bundles, ROUTES, test)


def test_a_vote_counts_members(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        classify = front_end.encoding.classify
        firsts = [
            [each[0].label for each in (await classify(ClassifyCall(m, items(*TEXTS)))).results]
            for m in ("moods", "moods-again", "other")
        ]
        found = await classify(ClassifyCall("vote", items(*TEXTS)))
        for number, labels in enumerate(found.results):
            votes = [first[number] for first in firsts]
            assert {label.label: label.score for label in labels} == {
                name: pytest.approx(votes.count(name) / 3) for name in ("no", "maybe", "yes")
            }
        with pytest.raises(InvalidRequest, match="raw_scores is true; allowed with 'vote', which counts votes: false"):
            await classify(ClassifyCall("vote", items("a"), raw_scores=True))
        with pytest.raises(InvalidRequest, match="top_k is 0"):
            await classify(ClassifyCall("vote", items("a"), top_k=0))
        with pytest.raises(InvalidRequest, match="inputs are tokens; allowed with 'vote', of several"):
            await front_end.encoding.logits(LogitsCall("vote", "classify", (TextItem(token_ids=(1, 2)),)))

    with_routes(bundles, ROUTES, test)


def test_vectors_and_scores_have_means(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        embed, rerank = front_end.encoding.embed, front_end.encoding.rerank
        one, two = [(await embed(EmbedCall(m, items(*TEXTS)))).results for m in ("vectors", "unit")]
        found = await embed(EmbedCall("space", items(*TEXTS)))
        for a, b, c in zip(one, two, found.results, strict=True):
            assert c.values == pytest.approx(np.average([a.values, b.values], axis=0, weights=[1, 0.5]), rel=1e-6)
        unit = await embed(EmbedCall("space", items(*TEXTS), normalize=True))
        assert np.linalg.norm([each.values for each in unit.results], axis=1) == pytest.approx(np.ones(3), rel=1e-6)
        with pytest.raises(InvalidRequest, match="per_token is true"):
            await embed(EmbedCall("space", items("a"), per_token=True))
        same = await rerank(RerankCall("order", "q", DOCUMENTS, return_documents=True, top_k=2))
        alone = await rerank(RerankCall("ranks", "q", DOCUMENTS, return_documents=True, top_k=2))
        assert same.results == alone.results

    with_routes(bundles, ROUTES, test)


def test_ranks_are_fused(bundles: list[Path]) -> None:
    """Against ranks and cosines made here, of what the members say by themselves."""

    async def test(front_end: FrontEnd) -> None:
        rerank, embed = front_end.encoding.rerank, front_end.encoding.embed
        ordered = (await rerank(RerankCall("ranks", "query", DOCUMENTS))).results
        by_score = {document.index: rank for rank, document in enumerate(ordered, 1)}
        query, *vectors = [
            each.values for each in (await embed(EmbedCall("vectors", items("query", *DOCUMENTS)))).results
        ]
        cosines = [v @ query / np.linalg.norm(v) / np.linalg.norm(query) for v in vectors]
        by_cosine = {i: rank for rank, i in enumerate(sorted(range(4), key=lambda i: (-cosines[i], i)), 1)}
        expected = {i: 2 / (10 + by_score[i]) + 1 / (10 + by_cosine[i]) for i in range(4)}
        found = (await rerank(RerankCall("search", "query", DOCUMENTS, return_documents=True))).results
        assert {each.index: each.score for each in found} == {i: pytest.approx(s) for i, s in expected.items()}
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
        assert all(each.document == DOCUMENTS[each.index] for each in found)
        short = [document[:1] for document in DOCUMENTS]
        cut = await rerank(RerankCall("search", "query", DOCUMENTS, truncate=True, max_document_tokens=1))
        assert cut.results == (await rerank(RerankCall("search", "query", short))).results
        near = (await rerank(RerankCall("near", "query", DOCUMENTS, top_k=1))).results
        assert [each.score for each in near] == [pytest.approx(1 / 61)]
        info = front_end.get_model("near")
        assert isinstance(info, ModelInfo)
        assert [(part.task, part.manifest.task) for part in info.encodings] == [("rerank", "rerank")]
        with pytest.raises(InvalidRequest, match="documents is empty"):
            await rerank(RerankCall("search", "query", ()))
        with pytest.raises(InvalidRequest, match="raw_scores is true; allowed with 'search', which fuses ranks"):
            await rerank(RerankCall("search", "query", DOCUMENTS, raw_scores=True))

    with_routes(bundles, ROUTES, test)


def test_a_member_that_fails_ends_the_call_or_not(bundles: list[Path]) -> None:
    """A model is unloaded while others serve: of a mean that needs all, of one that goes on with the rest."""
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        classify = front_end.encoding.classify
        one = (await classify(ClassifyCall("moods", items(*TEXTS)))).results
        await front_end.models.unload("moods-again", 1)
        tough = await classify(ClassifyCall("tough", items(*TEXTS)))
        assert scores(tough.results) == pytest.approx(scores(one))
        assert [step.model for step in tough.usage.steps] == ["moods"]
        with pytest.raises(
            (ModelFailed, Exception), match="route 'mean' takes no calls now: no model named 'moods-again'"
        ):
            await classify(ClassifyCall("mean", items("a")))
        with pytest.raises(InvalidRequest, match="inputs is empty"):  # everybody's failure is the call's
            await classify(ClassifyCall("tough", ()))

    with_routes(bundles, ROUTES, test, metrics)
    found = counted(metrics, "route_requests_total")
    assert found["success", "tough", "moods"] == 1
    assert found["model_not_found", "tough", "moods-again"] == 2
    assert found["unavailable", "mean", ""] == 1


def test_what_the_call_itself_did_wrong_is_its_failure(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        poisoned = (TextItem(token_ids=(1, POISON)),)
        with pytest.raises(InvalidRequest, match=r"inputs\[0\]"):
            await front_end.encoding.classify(ClassifyCall("tough", poisoned))
        with pytest.raises(DeadlineExceeded):
            await front_end.encoding.classify(ClassifyCall("tough", items(*TEXTS)), CallContext.new(timeout_s=-1))

    with_routes(bundles, ROUTES, test)


def test_nobody_new_comes_in_while_the_server_drains_and_who_is_in_ends(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        calls = [
            asyncio.create_task(front_end.encoding.classify(ClassifyCall("mean", items(*TEXTS)))) for _ in range(3)
        ]
        await asyncio.sleep(0)  # they are in: so far they go before they wait
        draining = asyncio.create_task(front_end.drain(60))
        found = await asyncio.gather(*calls)
        assert all(len(each.results) == 3 for each in found)
        await draining
        with pytest.raises(Draining):
            await front_end.encoding.classify(ClassifyCall("mean", items("a")))

    with_routes(bundles, ROUTES, test)
