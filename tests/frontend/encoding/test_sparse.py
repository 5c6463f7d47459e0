"""Sparse vectors, texts cut at their begin, and calls that wait for places: by hand, with tiny encoders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.encoding import Arrays, Row, RowResult
from attendant.core.errors import InvalidRequest, QueueFull
from attendant.frontend.encoding import sparse
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall, EmbedSparseCall, RerankCall, TextItem
from attendant.frontend.encoding.hub import AdmittedCall, EncoderHub
from attendant.frontend.encoding.receipts import encoding_settings
from attendant.frontend.encoding.service import EncodingService
from attendant.models.encoders import EncoderPart
from attendant.tasks.sparse import sparse_vector

from tests.batching.helpers import FakeRunner, row
from tests.frontend.encoding.helpers import ids, items, load, with_encoders
from tests.frontend.encoding.hub_helpers import held, with_hub
from tests.synthetic_encoder import VOCAB, expected_row, expected_tokens, head, make_text_encoder

SHORT = 8


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EncoderPart]:
    folder = tmp_path_factory.mktemp("encoders")
    prompted = EmbeddingHead(pooling="mean", dimensions=4, prompts={"query": "Q: "}, include_prompt=False)
    bundles = [
        make_text_encoder(folder / "masks", "fill_mask", max_tokens=SHORT),
        make_text_encoder(folder / "wide", "fill_mask", "padded", max_tokens=SHORT),
        make_text_encoder(folder / "moods", "classify", max_tokens=SHORT),
        make_text_encoder(folder / "ranks", "rerank", labels=("fits",), max_tokens=SHORT),
        make_text_encoder(folder / "prompted", "embed", embedding=prompted, max_tokens=SHORT),
    ]
    return {bundle.name: load(bundle) for bundle in bundles}


@pytest.mark.parametrize(("name", "positions"), [("masks", True), ("wide", False)])
def test_a_sparse_vector_is_the_greatest_logarithm_of_each_word(
    models: dict[str, EncoderPart], name: str, positions: bool
) -> None:
    async def test(service: EncodingService) -> None:
        texts = ("ab", "hello", "b")
        found = await service.embed_sparse(EmbedSparseCall("", items(*texts)))
        for text, vector in zip(texts, found.results, strict=True):
            logits = expected_tokens(ids(text), positions=positions) @ head(VOCAB)  # [n, VOCAB]
            weights = np.log1p(np.maximum(logits, 0)).max(axis=0)
            assert vector.indices.tolist() == np.flatnonzero(weights).tolist()
            assert vector.values == pytest.approx(weights[vector.indices], rel=1e-6)
            assert vector.values.dtype == np.float32
        assert found.usage.num_tokens == 8
        with pytest.raises(InvalidRequest, match=r"inputs\[0\] has 9 tokens"):
            await service.embed_sparse(EmbedSparseCall("", items("a" * 9)))

    with_encoders([models[name]], test)


def test_a_text_without_positive_logits_has_an_empty_vector() -> None:
    vector = sparse_vector(np.array([[-1, 0, -2], [-3, -0.0, 0]], np.float32))
    assert (len(vector.indices), len(vector.values)) == (0, 0)


def test_models_of_another_task_give_none(models: dict[str, EncoderPart]) -> None:
    async def test(service: EncodingService) -> None:
        with pytest.raises(InvalidRequest, match=r"is 'moods', which is for task classify; .*fill_mask: 'masks'"):
            await service.embed_sparse(EmbedSparseCall("moods", items("a")))

    with_encoders([models["masks"], models["moods"]], test)


def test_rows_of_a_large_vocabulary_count_more(models: dict[str, EncoderPart], monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a batch of them has no more numbers than others: here an eighth of what it could have."""
    masks = models["masks"]
    monkeypatch.setattr(sparse, "BATCH_NUMBERS", masks.limits.max_size * 262 // 8)
    sizes: list[int] = []
    run = masks.runner.run

    def noting(rows: Sequence[Row]) -> Sequence[Arrays]:
        sizes.extend(row.size for row in rows)
        return run(rows)

    monkeypatch.setattr(masks.runner, "run", noting)

    async def test(service: EncodingService) -> None:
        await service.embed_sparse(EmbedSparseCall("", items("abc")))

    with_encoders([masks], test)
    assert sizes == [3 * 8]


@pytest.mark.parametrize(("texts_at_once", "most"), [(0.5, 1), (2, 2), (3.5, 3), (1000, 20)])
def test_a_call_has_few_rows_of_a_large_vocabulary_at_once(
    models: dict[str, EncoderPart], monkeypatch: pytest.MonkeyPatch, texts_at_once: float, most: int
) -> None:
    """By the longest of its texts; the vectors are the same."""
    masks = models["masks"]
    texts = items(*(letter * SHORT for letter in "abcdefghijklmnopqrst"))
    at_once = [0]
    run = AdmittedCall.run

    async def noting(call: AdmittedCall, rows: Sequence[Row], *args: Any, **kwargs: Any) -> list[RowResult]:
        at_once.append(at_once[-1] + len(rows))
        try:
            return await run(call, rows, *args, **kwargs)
        finally:
            at_once.append(at_once[-1] - len(rows))

    async def test(service: EncodingService) -> None:
        free = await service.embed_sparse(EmbedSparseCall("", texts))
        monkeypatch.setattr(AdmittedCall, "run", noting)
        monkeypatch.setattr(sparse, "BATCH_NUMBERS", int(texts_at_once * SHORT * 262))
        bound = await service.embed_sparse(EmbedSparseCall("", texts))
        assert str(bound.results) == str(free.results)

    with_encoders([masks], test)
    assert max(at_once) == most


Make = Callable[[str, bool], Any]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("moods", lambda text, left: ClassifyCall("", items(text), truncate=True, raw_scores=True, truncate_left=left)),
        ("masks", lambda text, left: EmbedSparseCall("", items(text), truncate=True, truncate_left=left)),
        ("prompted", lambda text, left: EmbedCall("", items(text), truncate=True, truncate_left=left)),
    ],
)
def test_texts_are_cut_at_the_end_or_at_the_begin(models: dict[str, EncoderPart], name: str, make: Make) -> None:
    async def test(service: EncodingService) -> None:
        calls: dict[str, Any] = {
            "moods": service.classify,
            "masks": service.embed_sparse,
            "prompted": service.embed,
        }
        call = calls[name]
        text = "abcdefghijkl"
        for left, kept in ((False, text[:SHORT]), (True, text[-SHORT:])):
            cut, whole = await call(make(text, left)), await call(make(kept, left))
            assert str(cut.results) == str(whole.results)
            assert (cut.usage.num_truncated, whole.usage.num_truncated) == (1, 0)
        with pytest.raises(InvalidRequest, match="truncate_left is true without truncate"):
            await call(replace(make("a", True), truncate=False))

    with_encoders([models[name]], test)


def test_pairs_lose_their_begins(models: dict[str, EncoderPart]) -> None:
    async def test(service: EncodingService) -> None:
        call = RerankCall("", "abcdef", ("uvwxyz",), truncate=True, raw_scores=True, truncate_left=True)
        (found,) = (await service.rerank(call)).results
        (expected,) = expected_row(ids("cdef" + "wxyz"), 1, [0] * 4 + [1] * 4)
        assert found.score == expected

    with_encoders([models["ranks"]], test)


def test_a_prompt_is_the_first_to_be_cut(models: dict[str, EncoderPart]) -> None:
    async def test(service: EncodingService) -> None:
        async def vector(text: str) -> np.ndarray:
            call = EmbedCall("", items(text), truncate=True, truncate_left=True, prompt="query", normalize=False)
            (found,) = (await service.embed(call)).results
            assert found.values is not None
            return found.values

        whole = expected_tokens(ids("Q: abcde"))[3:].mean(axis=0)  # what fits has its whole prompt, which is not pooled
        assert await vector("abcde") == pytest.approx(whole, rel=1e-6)
        a_part = expected_tokens(ids(" abcdefg"))[1:].mean(axis=0)  # a space is left of it
        assert await vector("abcdefg") == pytest.approx(a_part, rel=1e-6)
        assert await vector("abcdefghij") == pytest.approx(expected_tokens(ids("cdefghij")).mean(axis=0), rel=1e-6)

    with_encoders([models["prompted"]], test)


def test_a_patient_call_waits_where_another_is_refused(tmp_path: Path) -> None:
    runner = FakeRunner()
    model = load(make_text_encoder(tmp_path / "moods"))
    fake = replace(model, runner=runner, max_rows=1)  # type: ignore[arg-type]

    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        with pytest.raises(QueueFull):
            await hub.admit().run([row()])
        patient = asyncio.create_task(hub.admit(patient=True).run([row()]))
        await asyncio.sleep(0)
        assert hub.gate.taken == 1
        assert not patient.done()
        runner.gate.set()
        assert [len(results) for results in await asyncio.gather(first, patient)] == [1, 1]

    with_hub(fake, test)


def test_receipts_of_calls_that_ask_for_nothing_new_are_as_before(models: dict[str, EncoderPart]) -> None:
    manifest = models["moods"].manifest
    call = ClassifyCall("", (TextItem("a"),))
    assert encoding_settings(manifest, call) == {"truncate": False, "top_k": None, "raw_scores": False}
    left = encoding_settings(manifest, replace(call, truncate=True, truncate_left=True))
    assert left == {"truncate": True, "top_k": None, "raw_scores": False, "truncate_left": True}
