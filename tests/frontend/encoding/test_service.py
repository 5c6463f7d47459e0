"""Calls on encoders: their results by hand, thousands at once, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead
from attendant.core.errors import InvalidRequest, ModelNotFound
from attendant.frontend.encoding.calls import (
    AnswerCall,
    Audio,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    FillMaskCall,
    Question,
    RerankCall,
    TextItem,
    TranscribeCall,
)
from attendant.frontend.encoding.service import EncodingService
from attendant.metrics import Metrics
from attendant.models.encoders import EncoderPart
from attendant.tasks.spans import Span
from attendant.tasks.tokens import Aggregation
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import ids, items, load, png, served_models, with_encoders
from tests.synthetic_encoder import (
    expected_row,
    expected_tokens,
    head,
    make_audio_encoder,
    make_image_encoder,
    make_text_encoder,
)

Models = dict[str, EncoderPart]
SHORT = 12  # tokens that the models for spans read at once


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model for each task."""
    folder = tmp_path_factory.mktemp("encoders")
    vectors = EmbeddingHead(pooling="mean", dimensions=3, normalise=True, prompts={"query": "Q: "})
    bundles = [
        make_text_encoder(folder / "moods", "classify"),
        make_text_encoder(folder / "ranks", "rerank", "padded", labels=("fits",)),
        make_text_encoder(folder / "tags", "classify_tokens", labels=("O", "B-X", "I-X"), max_tokens=SHORT),
        make_text_encoder(folder / "answers", "answer", max_tokens=SHORT),
        make_text_encoder(folder / "masks", "fill_mask"),
        make_text_encoder(folder / "vectors", "embed", embedding=vectors),
        make_text_encoder(
            folder / "prompted",
            "embed",
            embedding=EmbeddingHead(
                pooling="weighted_mean",
                dimensions=3,
                prompts={"query": "Q: ", "document": ""},
                default_prompt="query",
                include_prompt=False,
                default_dimensions=2,
            ),
        ),
        make_image_encoder(folder / "images"),
        make_audio_encoder(folder / "words"),
    ]
    return {bundle.name: load(bundle, max_queue=10) for bundle in bundles}


def test_labels_are_those_of_each_text(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        call = ClassifyCall(
            "", (*items("good", "bad"), TextItem(token_ids=(5, 6)), TextItem("a", "b")), raw_scores=True
        )
        encoded = await service.classify(call)
        rows = [ids("good"), ids("bad"), [5, 6], ids("ab")]
        types = [None, None, None, [0, 1]]
        for labels, row, kinds in zip(encoded.results, rows, types, strict=True):
            expected = expected_row(row, 3, kinds)
            assert [label.score for label in labels] == sorted(expected.tolist(), reverse=True)
            assert [label.index for label in labels] == np.argsort(-expected, kind="stable").tolist()
        usage = encoded.usage
        assert (usage.num_tokens, usage.num_truncated) == (11, 0)
        assert 0 < usage.compute_ns < usage.total_ns
        assert 0 < usage.preprocess_ns <= usage.queue_ns < usage.total_ns
        (only,) = (await service.classify(ClassifyCall("moods", items("good"), top_k=1))).results
        assert len(only) == 1
        assert 0 < only[0].score <= 1

    with_encoders([models["moods"]], test)


def test_vectors_are_pooled_projected_cut_and_normalised(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        def by_hand(text: str, dimensions: int = 3) -> np.ndarray:
            vector = (expected_tokens(ids(text)).mean(axis=0) @ head(3))[:dimensions]
            return vector / np.linalg.norm(vector)

        two = await service.embed(EmbedCall("", items("apple", "juice")))
        for embedding, text in zip(two.results, ("apple", "juice"), strict=True):
            assert embedding.values == pytest.approx(by_hand(text), abs=1e-6)
        (cut,) = (await service.embed(EmbedCall("", items("apple"), dimensions=2))).results
        assert cut.values == pytest.approx(by_hand("apple", 2), abs=1e-6)
        (raw,) = (await service.embed(EmbedCall("", items("apple"), normalize=False))).results
        assert raw.values == pytest.approx(expected_tokens(ids("apple")).mean(axis=0) @ head(3), rel=1e-5)
        (asked,) = (await service.embed(EmbedCall("", items("apple"), prompt="query"))).results
        assert asked.values == pytest.approx(by_hand("Q: apple"), abs=1e-6)
        text = "e\U0001f600"
        (tokens,) = (await service.embed(EmbedCall("", items(text), prompt="query", per_token=True))).results
        assert tokens.token_ids is not None
        assert tokens.token_spans is not None
        assert tokens.token_ids.tolist() == ids(f"Q: {text}")
        assert tokens.token_spans.tolist() == [[0, 0]] * 3 + [[0, 1]] + [[1, 2]] * 4
        assert tokens.token_values == pytest.approx(expected_tokens(ids(f"Q: {text}")), rel=1e-6)

    with_encoders([models["vectors"]], test)


def test_a_default_prompt_is_put_before_texts_and_not_pooled(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        async def values(**asked: Any) -> np.ndarray:
            (found,) = (await service.embed(EmbedCall("", items("apple"), **asked))).results
            return found.values

        def by_hand(text: str, num_skipped: int, dimensions: int = 2) -> np.ndarray:
            vectors = expected_tokens(ids(text))
            weights = np.arange(1, len(vectors) + 1)[num_skipped:, None]
            return ((vectors[num_skipped:] * weights).sum(axis=0) / weights.sum() @ head(3))[:dimensions]

        prompted = by_hand("Q: apple", len(ids("Q: ")))
        assert await values() == pytest.approx(prompted, rel=1e-5)
        assert await values(prompt="query") == pytest.approx(prompted, rel=1e-5)
        assert await values(prompt="document") == pytest.approx(by_hand("apple", 0), rel=1e-5)
        assert await values(no_prompt=True, dimensions=3) == pytest.approx(by_hand("apple", 0, 3), rel=1e-5)
        (given,) = (await service.embed(EmbedCall("", (TextItem(token_ids=tuple(ids("apple"))),)))).results
        assert given.values == pytest.approx(by_hand("apple", 0), rel=1e-5)

    with_encoders([models["prompted"]], test)


def test_ranks_come_best_first(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        documents = ("one", "two", "three", "one")
        call = RerankCall("", "q", documents, raw_scores=True, return_documents=True)
        found = (await service.rerank(call)).results
        scores = [
            float(expected_row(ids(f"q{document}"), 1, [0] + [1] * len(document), positions=False)[0])
            for document in documents
        ]
        assert [ranked.index for ranked in found] == sorted(range(4), key=lambda i: (-scores[i], i))
        assert [(ranked.document, ranked.score) for ranked in found] == [
            (documents[r.index], scores[r.index]) for r in found
        ]
        best = (await service.rerank(replace(call, top_k=1, raw_scores=False, return_documents=False))).results
        assert [(ranked.index, ranked.document) for ranked in best] == [(found[0].index, "")]

    with_encoders([models["ranks"]], test)


def test_texts_and_documents_are_cut_to_fewer_tokens_than_a_model_takes(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        inputs = (*items("abcdef", "ab"), TextItem(token_ids=(5, 6, 7, 8)))
        whole = await service.embed(EmbedCall("vectors", (*items("abc", "ab"), TextItem(token_ids=(5, 6, 7)))))
        cut = await service.embed(EmbedCall("vectors", inputs, truncate=True, max_tokens=3))
        assert [each.values.tolist() for each in cut.results] == [each.values.tolist() for each in whole.results]  # type: ignore[union-attr]
        assert (cut.usage.num_tokens, cut.usage.num_truncated) == (8, 2)
        with pytest.raises(InvalidRequest, match=r"inputs\[0\] has 6 tokens.* at most 3"):
            await service.embed(EmbedCall("vectors", inputs, max_tokens=3))
        with pytest.raises(InvalidRequest, match="max_tokens is 0; allowed: at least 1"):
            await service.embed(EmbedCall("vectors", inputs, truncate=True, max_tokens=0))
        labels = await service.classify(ClassifyCall("moods", items("good"), truncate=True, max_tokens=2))
        assert labels.results == (await service.classify(ClassifyCall("moods", items("go")))).results

        for left, documents in ((False, ("ab", "x", "lo")), (True, ("bc", "x", "ng"))):
            call = RerankCall(
                "ranks", "query", ("abc", "x", "long"), truncate=left, raw_scores=True, truncate_left=left
            )
            found = await service.rerank(replace(call, max_document_tokens=2))
            assert found.results == (await service.rerank(replace(call, documents=documents))).results
            assert found.usage.num_truncated == 2
        with pytest.raises(InvalidRequest, match="max_document_tokens is 0; allowed: at least 1"):
            await service.rerank(RerankCall("ranks", "query", ("a",), max_document_tokens=0))

    with_encoders(list(models.values()), test)


def test_spans_of_a_text_that_is_read_in_windows(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        text = "ab \U0001f600 cd ef gh ij kl"
        call = ClassifyTokensCall("", (text, "ab"), aggregation=Aggregation.NONE, stride=4, keep_outside=True)
        encoded = await service.classify_tokens(call)
        long, short = encoded.results
        assert [entity.text for entity in short] == ["a", "b"]
        assert [entity.text for entity in long] == [
            c for c in text if not c.isspace() for _ in range(4 if c == "\U0001f600" else 1)
        ]
        assert all(text[entity.span.start : entity.span.end] == entity.text for entity in long)
        assert encoded.usage.num_truncated == 0
        cut = await service.classify_tokens(replace(call, texts=(text,), stride=None, truncate=True))
        assert (cut.usage.num_tokens, cut.usage.num_truncated) == (SHORT, 1)
        with pytest.raises(InvalidRequest, match=rf"texts\[0\] has {len(ids(text))} tokens.*at most {SHORT}"):
            await service.classify_tokens(replace(call, stride=None))
        with pytest.raises(InvalidRequest, match="stride is 12; allowed: 0 to 11"):
            await service.classify_tokens(replace(call, stride=12))

    with_encoders([models["tags"]], test)


def test_answers_are_in_their_contexts(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        context = "it is \u00e9t\u00e9 in \U0001f600 land"
        call = AnswerCall("", (Question("q?", context), Question("q?", "x")), top_k=3, stride=2)
        long, short = (await service.answer(call)).results
        assert len(long) == 3
        assert [answer.score for answer in long] == sorted((answer.score for answer in long), reverse=True)
        assert all(context[answer.span.start : answer.span.end] == answer.text != "" for answer in long)
        assert [(answer.text, answer.span) for answer in short] == [("x", Span(0, 1))]
        with pytest.raises(InvalidRequest, match=r"inputs\[0\].question has 7 tokens; allowed: at most 6"):
            await service.answer(replace(call, inputs=(Question("q" * 7, "x"),)))
        with pytest.raises(InvalidRequest, match="max_answer_tokens is 0"):
            await service.answer(replace(call, max_answer_tokens=0))

    with_encoders([models["answers"]], test)


def test_masks_are_filled(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        name = "<|system|>"  # token 3, the model's mask
        (masks,) = (await service.fill_mask(FillMaskCall("", (f"a{name}b{name}",), top_k=2))).results
        assert [mask.span for mask in masks] == [Span(1, 11), Span(12, 22)]
        logits = expected_tokens(ids(f"a{name}b{name}")) @ head(300)
        for mask, place in zip(masks, (1, 3), strict=True):
            order = np.argsort(-logits[place][: len(set(ids("a"))) + 261], kind="stable")[:2]
            assert [fill.token_id for fill in mask.fills] == order.tolist()
        with pytest.raises(InvalidRequest, match=r"texts\[1\] has no mask token"):
            await service.fill_mask(FillMaskCall("", (name, "none")))

    with_encoders([models["masks"]], test)


def test_images_and_recordings(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        images = (png((255, 0, 0)), png((0, 0, 255)))
        encoded = await service.classify_image(ClassifyImageCall("", images, raw_scores=True))
        for labels, channel in zip(encoded.results, (0, 2), strict=True):
            expected = 24 * head(2)[channel]
            assert {label.index: label.score for label in labels} == pytest.approx(dict(enumerate(expected)), abs=1e-4)
        assert encoded.usage.num_tokens == 2
        with pytest.raises(InvalidRequest, match=r"images\[1\]"):
            await service.classify_image(ClassifyImageCall("", (images[0], images[0][:40])))
        samples = np.repeat([0, 0.25, 0.25, 0, 0.5], 4).astype("<f4").tobytes()
        recordings = (Audio(samples, is_wav=False, sampling_rate=16_000),)
        spoken = await service.transcribe(TranscribeCall("", recordings))
        assert len(spoken.results) == 1
        assert spoken.usage.num_tokens == 20
        with pytest.raises(InvalidRequest, match=r"inputs\[0\].samples"):
            await service.transcribe(TranscribeCall("", (replace(recordings[0], data=b"abc"),)))

    with_encoders([models["images"], models["words"]], test)


def test_five_thousand_inputs_come_back_in_order_through_a_short_queue(models: Models) -> None:
    async def test(service: EncodingService) -> None:
        texts = [f"{i} " * (1 + i % 7) for i in range(5000)]
        encoded = await service.classify(ClassifyCall("", items(*texts), raw_scores=True, top_k=1))
        assert [labels[0].score for labels in encoded.results] == [float(expected_row(ids(t), 3).max()) for t in texts]

    with_encoders([replace(models["moods"], max_rows=20)], test)


@pytest.mark.parametrize(
    ("call", "field", "words"),
    [
        (ClassifyCall("", ()), "inputs", "is empty; allowed: at least one"),
        (ClassifyCall("", items("a"), top_k=0), "top_k", "is 0; allowed: at least 1"),
        (ClassifyCall("", items("a", "b" * 300)), "inputs[1]", "has 300 tokens"),
        (ClassifyCall("", items("")), "inputs[0]", "has no tokens"),
        (ClassifyCall("", (TextItem(token_ids=(9999,)),)), "inputs[0]", "has 9999 at position 0; allowed: 0 to 261"),
        (ClassifyCall("vectors", items("a")), "model", "embed"),
        (EmbedCall("", items("a"), dimensions=4), "dimensions", "is 4; allowed: 1 to 3"),
        (EmbedCall("", items("a"), prompt="query", no_prompt=True), "no_prompt", "beside prompt 'query'"),
        (EmbedCall("", items("a"), prompt="doc"), "prompt", "is 'doc'; allowed: 'query'"),
        (EmbedCall("", (TextItem(token_ids=(5,)),), prompt="query"), "inputs[0].token_ids", "cannot take a prompt"),
    ],
)
def test_what_is_refused_names_field_value_and_what_is_allowed(
    models: Models, call: ClassifyCall | EmbedCall, field: str, words: str
) -> None:
    async def test(service: EncodingService) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await (service.classify(call) if isinstance(call, ClassifyCall) else service.embed(call))
        assert caught.value.field == field
        assert words in caught.value.reason

    with_encoders([models["moods"], models["vectors"]], test)


def test_unknown_models_and_the_counts_of_calls(models: Models) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(service: EncodingService) -> None:
        with pytest.raises(ModelNotFound, match="'moods'"):
            await service.classify(ClassifyCall("nobody", items("a")))
        with pytest.raises(InvalidRequest):
            await service.classify(ClassifyCall("moods", ()))
        await service.classify(ClassifyCall("moods", items("a")))

    with_encoders([models["moods"]], test, metrics)
    page = metrics.render()[0].decode()
    for model, outcome in (("", "model_not_found"), ("moods", "invalid_request"), ("moods", "success")):
        line = f'encoder_requests_total{{model_name="{model}",outcome="{outcome}",task="classify"}} 1.0'
        assert line in page
    assert 'encoder_preprocess_seconds_count{model_name="moods",task="classify"} 1.0' in page


def test_models_tell_what_they_are(models: Models, tmp_path: Path) -> None:
    async def test(service: EncodingService) -> None:
        (moods,), (images,) = (served.encoding_infos() for served in served_models(service))
        assert (moods.manifest.labels, moods.vocab_size) == (("no", "maybe", "yes"), 262)
        assert served_models(service)[0].ready
        assert images.vocab_size == 0

    with_encoders([models["moods"], models["images"]], test)
