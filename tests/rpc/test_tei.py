"""tei.v1 over real models: its answers are the typed calls', to the bit; how a model is chosen; what is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import attendant
import grpc
import pytest
from attendant.frontend.encoding.calls import EmbedSparseCall, TextItem
from attendant.models.encoders import EncoderPart
from attendant_proto.tei import tei_pb2 as pb
from attendant_proto.v1 import encoding_pb2, models_pb2

from tests.rpc.fake import run
from tests.rpc.tei_server import MAX_TOKENS, Stubs, make_models, refused, tei_server
from tests.system.encoders import BOS, END, texts

LEFT = pb.TRUNCATION_DIRECTION_LEFT
LONG = "abcdefghijklmnopqrstuvwxyz"
Models = dict[str, EncoderPart]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return make_models(tmp_path_factory.mktemp("models"))


def with_server(models: Models, names: str, test: Callable[[Stubs], Awaitable[None]]) -> None:
    async def main() -> None:
        async with tei_server([models[name] for name in names.split()]) as stubs:
            await test(stubs)

    run(main)


def to_model(name: str) -> dict[str, Any]:
    return {"metadata": (("model", name),)}


def test_vectors_are_those_of_the_typed_call(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        async def both(asked: dict[str, Any], **typed: Any) -> None:
            text = asked.pop("inputs", "hello")
            found = await stubs.embed.Embed(pb.EmbedRequest(inputs=text, **asked))
            (expected,) = (await stubs.typed.Embed(encoding_pb2.EmbedRequest(inputs=texts(text), **typed))).embeddings
            assert found.embeddings == expected.values
            assert found.embeddings

        await both({}, normalize=True)
        await both({"normalize": True}, normalize=True)
        await both({"normalize": False}, normalize=False)
        await both({"dimensions": 2}, dimensions=2, normalize=True)
        await both({"prompt_name": "query"}, prompt="query", normalize=True)
        await both({"inputs": LONG, "truncate": True}, truncate=True, normalize=True)
        await both(
            {"inputs": LONG, "truncate": True, "truncation_direction": LEFT},
            **{"truncate": True, "truncate_left": True, "normalize": True},
        )
        await both({"truncation_direction": LEFT}, normalize=True)

        for how, typed in (({}, {}), ({"truncate": True, "truncation_direction": LEFT}, {"truncate_left": True})):
            request = pb.EmbedAllRequest(inputs=LONG if how else "hello", **how)  # type: ignore[arg-type]
            found = await stubs.embed.EmbedAll(request)
            asked = encoding_pb2.EmbedRequest(inputs=texts(request.inputs), per_token=True, truncate=bool(how), **typed)  # type: ignore[arg-type]
            tokens = (await stubs.typed.Embed(asked)).embeddings[0].tokens
            assert [list(each.embeddings) for each in found.token_embeddings] == [list(each.values) for each in tokens]
            assert len(found.token_embeddings) == (MAX_TOKENS if how else 5 + 2), "special tokens are among them"

    with_server(models, "vectors", test)


def test_sparse_vectors_come_by_index(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        found = (await stubs.embed.EmbedSparse(pb.EmbedSparseRequest(inputs="hello"))).sparse_embeddings
        call = EmbedSparseCall("", (TextItem("hello"),))
        (expected,) = (await stubs.front_end.encoding.embed_sparse(call)).results
        assert [each.index for each in found] == expected.indices.tolist()
        assert [each.value for each in found] == expected.values.tolist()
        assert found
        cut = pb.EmbedSparseRequest(inputs=LONG, truncate=True, truncation_direction=LEFT)
        same = pb.EmbedSparseRequest(inputs=LONG[-14:])
        assert (await stubs.embed.EmbedSparse(cut)).sparse_embeddings == (
            await stubs.embed.EmbedSparse(same)
        ).sparse_embeddings

    with_server(models, "masks", test)


def test_labels_and_ranks_are_those_of_the_typed_calls(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        for raw in (False, True):
            found = await stubs.predict.Predict(pb.PredictRequest(inputs="good", raw_scores=raw))
            typed = encoding_pb2.ClassifyRequest(inputs=texts("good"), raw_scores=raw)
            labels = (await stubs.typed.Classify(typed)).results[0].labels
            assert [(each.label, each.score) for each in found.predictions] == [(x.label, x.score) for x in labels]
            pair = await stubs.predict.PredictPair(pb.PredictPairRequest(inputs=["a", "b"], raw_scores=raw))
            typed = encoding_pb2.ClassifyRequest(inputs=[encoding_pb2.TextInput(text="a", pair="b")], raw_scores=raw)
            labels = (await stubs.typed.Classify(typed)).results[0].labels
            assert [(each.label, each.score) for each in pair.predictions] == [(x.label, x.score) for x in labels]
        one = await stubs.predict.PredictPair(pb.PredictPairRequest(inputs=["good"]))
        assert one.predictions == (await stubs.predict.Predict(pb.PredictRequest(inputs="good"))).predictions

        documents = ["one", "two", "one", LONG]
        for raw, with_text, left in ((False, False, False), (True, True, True)):
            request = pb.RerankRequest(
                query="q",
                texts=documents,
                truncate=True,
                raw_scores=raw,
                return_text=with_text,
                truncation_direction=int(left),  # type: ignore[arg-type]
            )
            ranks = (await stubs.rerank.Rerank(request)).ranks
            expected = (
                await stubs.typed.Rerank(
                    encoding_pb2.RerankRequest(
                        query="q", documents=documents, truncate=True, raw_scores=raw, truncate_left=left
                    )
                )
            ).results
            assert [(rank.index, rank.score) for rank in ranks] == [(x.index, x.score) for x in expected]
            assert [rank.score for rank in ranks] == sorted((rank.score for rank in ranks), reverse=True)
            if with_text:
                assert all(rank.text == documents[rank.index] for rank in ranks)
            else:
                assert not any(rank.HasField("text") for rank in ranks)

    with_server(models, "moods ranks", test)


def test_what_a_call_took_is_in_the_answer_and_in_the_metadata_under_teis_names(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        calls = (
            (stubs.embed.Embed(pb.EmbedRequest(inputs="h\u00e9")), 2, 5),
            (stubs.embed.EmbedAll(pb.EmbedAllRequest(inputs="hi")), 2, 4),
            (stubs.embed.EmbedSparse(pb.EmbedSparseRequest(inputs="hi")), 2, 4),
            (stubs.predict.Predict(pb.PredictRequest(inputs="hi")), 2, 4),
            (stubs.predict.PredictPair(pb.PredictPairRequest(inputs=["hi", "you"])), 5, 8),
            (stubs.rerank.Rerank(pb.RerankRequest(query="hi", texts=["a", "you"])), 2 * 2 + 4, 6 + 8),
        )
        for call, characters, tokens in calls:
            told = (await call).metadata
            assert (told.compute_chars, told.compute_tokens) == (characters, tokens)
            parts = told.tokenization_time_ns + told.inference_time_ns
            assert 0 < parts <= told.total_time_ns
            first, last = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
            assert {key: last[key] for key in first if key.startswith("x-")} == {
                "x-compute-type": "cpu+optimized",
                "x-compute-time": str(told.total_time_ns // 1_000_000),
                "x-compute-characters": str(characters),
                "x-compute-tokens": str(tokens),
                "x-total-time": str(told.total_time_ns // 1_000_000),
                "x-tokenization-time": str(told.tokenization_time_ns // 1_000_000),
                "x-queue-time": str(told.queue_time_ns // 1_000_000),
                "x-inference-time": str(told.inference_time_ns // 1_000_000),
            }
            assert last["x-request-id"]

    with_server(models, "vectors masks moods ranks", test)


def test_tokens_say_what_they_stand_for_and_become_text_again(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        request = pb.EncodeRequest(inputs="h\u00e9", add_special_tokens=True, prompt_name="query")
        tokens = (await stubs.tokenize.Tokenize(request)).tokens
        assert [token.text for token in tokens] == [BOS, *"Q: h", "\u00e9", "\u00e9", END]
        assert [token.special for token in tokens] == [True, *[False] * 6, True]
        assert [(token.start, token.stop) for token in tokens[1:-1]] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 5)]
        assert not any(token.HasField(name) for token in (tokens[0], tokens[-1]) for name in ("start", "stop"))
        ids = [token.id for token in tokens]
        typed = models_pb2.TokenizeRequest(text="Q: h\u00e9")
        assert ids == list((await stubs.words.Tokenize(typed)).token_ids)
        plain = await stubs.tokenize.Tokenize(pb.EncodeRequest(inputs="h"))
        assert [token.id for token in plain.tokens] == ids[4:5]

        decode = stubs.tokenize.Decode
        assert (await decode(pb.DecodeRequest(ids=ids))).text == f"{BOS}Q: h\u00e9{END}"
        assert (await decode(pb.DecodeRequest(ids=ids, skip_special_tokens=True))).text == "Q: h\u00e9"
        assert (await stubs.words.Detokenize(models_pb2.DetokenizeRequest(token_ids=ids))).text == "Q: h\u00e9"
        many = [ids[4]] * 3000
        assert (await decode(pb.DecodeRequest(ids=many))).text == "h" * 3000
        assert (await decode(pb.DecodeRequest())).text == ""
        code, field, words = await refused(decode(pb.DecodeRequest(ids=[5, 4_000_000_000])))
        assert (code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "ids")
        assert "4000000000 at position 1; allowed: 0 to 261" in words

    with_server(models, "vectors", test)


def test_a_model_is_the_one_that_is_named_or_the_only_one_of_the_call(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        first = await stubs.embed.Embed(pb.EmbedRequest(inputs="a"))
        assert (
            first.embeddings == (await stubs.embed.Embed(pb.EmbedRequest(inputs="a"), **to_model("vectors"))).embeddings
        )
        versioned = await stubs.embed.Embed(pb.EmbedRequest(inputs="a"), **to_model("vectors@1"))
        assert versioned.embeddings == first.embeddings
        assert (await stubs.info.Info(pb.InfoRequest(), **to_model("vectors@1"))).max_input_length == MAX_TOKENS
        assert await stubs.predict.Predict(pb.PredictRequest(inputs="a"))
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        for call, words in (
            (stubs.info.Info(pb.InfoRequest()), "is empty; .*: 'masks', 'moods', 'vectors'$"),
            (stubs.tokenize.Tokenize(pb.EncodeRequest(inputs="a")), "is empty; .*: 'masks', 'moods', 'vectors'$"),
            (stubs.tokenize.Decode(pb.DecodeRequest(ids=[5])), "is empty; .*: 'masks', 'moods', 'vectors'$"),
            (stubs.embed.Embed(pb.EmbedRequest(inputs="a"), **to_model("moods")), "for task classify; .*: 'vectors'$"),
            (
                stubs.embed.EmbedSparse(pb.EmbedSparseRequest(inputs="a"), **to_model("vectors")),
                "task fill_mask: 'masks'$",
            ),
            (
                stubs.info.Info(pb.InfoRequest(), **to_model("images")),
                "for task classify_image; .*: 'masks', 'moods', 'v",
            ),
            (
                stubs.embed.Embed(pb.EmbedRequest(inputs="a"), metadata=(("model", "a"), ("model", "b"))),
                "in the metadata 2 times",
            ),
        ):
            code, field, said = await refused(call)
            assert (code, field) == (invalid, "model")
            assert re.search(words, said), said
        code, _, said = await refused(stubs.rerank.Rerank(pb.RerankRequest(query="q", texts=["a"])))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "no model for task 'rerank'" in said
        for call in (
            stubs.embed.Embed(pb.EmbedRequest(inputs="a"), **to_model("nobody")),
            stubs.embed.Embed(pb.EmbedRequest(inputs="a"), **to_model("vectors@2")),
            stubs.tokenize.Decode(pb.DecodeRequest(ids=[5]), **to_model("vectors@2")),
            stubs.info.Info(pb.InfoRequest(), **to_model("nobody")),
            stubs.tokenize.Tokenize(pb.EncodeRequest(inputs="a"), **to_model("nobody")),
        ):
            code, _, said = await refused(call)
            assert code is grpc.StatusCode.NOT_FOUND
            assert "'vectors" in said, "a name, or a name with its version"

    with_server(models, "vectors masks moods images", test)


def test_routes_are_names_of_models_here_too(models: Models) -> None:
    async def test() -> None:
        routes = "routes:\n  search: {kind: alias, model: vectors}\n"
        async with tei_server([models["vectors"], models["moods"]], routes) as stubs:
            found = await stubs.embed.Embed(pb.EmbedRequest(inputs="a"), **to_model("search"))
            assert found.embeddings == (await stubs.embed.Embed(pb.EmbedRequest(inputs="a"))).embeddings
            assert (await stubs.info.Info(pb.InfoRequest(), **to_model("search"))).model_type == pb.MODEL_TYPE_EMBEDDING
            assert len((await stubs.tokenize.Tokenize(pb.EncodeRequest(inputs="a"), **to_model("search"))).tokens) == 1
        async with tei_server([models["vectors"]], routes) as stubs:
            assert (await stubs.info.Info(pb.InfoRequest())).model_id == "synthetic", "a route is no second model"

    run(test)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vectors", pb.MODEL_TYPE_EMBEDDING),
        ("masks", pb.MODEL_TYPE_EMBEDDING),
        ("moods", pb.MODEL_TYPE_CLASSIFIER),
        ("ranks", pb.MODEL_TYPE_RERANKER),
    ],
)
def test_a_model_tells_what_it_is(models: Models, name: str, kind: pb.ModelType) -> None:
    async def test(stubs: Stubs) -> None:
        info = await stubs.info.Info(pb.InfoRequest())
        assert info == await stubs.info.Info(pb.InfoRequest(), **to_model(name))
        workers = info.tokenization_workers
        assert workers >= 1
        assert info == pb.InfoResponse(
            version=attendant.__version__,
            model_id="synthetic",
            model_dtype="float32",
            model_type=kind,
            max_concurrent_requests=64 + 16_384,
            max_input_length=MAX_TOKENS,
            max_batch_tokens=2048,
            max_batch_requests=64,
            max_client_batch_size=64 + 16_384,
            tokenization_workers=workers,
        )

    with_server(models, f"{name} images", test)


def test_what_is_refused_names_the_field_as_tei_has_it(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        embed, predict, rerank = stubs.embed, stubs.predict, stubs.rerank
        for call, field, words in (
            (embed.Embed(pb.EmbedRequest()), "inputs", "inputs is empty; allowed: a text"),
            (embed.Embed(pb.EmbedRequest(inputs=LONG)), "inputs", "inputs has 28 tokens"),
            (embed.Embed(pb.EmbedRequest(inputs="a", dimensions=0)), "dimensions", "is 0; allowed: 1 to 4"),
            (
                embed.Embed(pb.EmbedRequest(inputs="a", prompt_name="x")),
                "prompt_name",
                "is 'x'; allowed: 'query', 'docu",
            ),
            (
                embed.Embed(pb.EmbedRequest(inputs="a", truncation_direction=7)),  # type: ignore[arg-type]
                *("truncation_direction", "is 7; allowed: TRUNCATION_DIRECTION_RIGHT, TRUNCATION_DIRECTION_LEFT"),
            ),
            (embed.EmbedAll(pb.EmbedAllRequest(inputs="")), "inputs", "is empty"),
            (embed.EmbedSparse(pb.EmbedSparseRequest(inputs="a", prompt_name="q")), "prompt_name", "allowed: none"),
            (predict.Predict(pb.PredictRequest(inputs="")), "inputs", "is empty"),
            (predict.PredictPair(pb.PredictPairRequest()), "inputs", "has 0 texts; allowed: 1 or 2"),
            (predict.PredictPair(pb.PredictPairRequest(inputs=["a"] * 3)), "inputs", "has 3 texts"),
            (predict.PredictPair(pb.PredictPairRequest(inputs=["a", ""])), "inputs[1]", "is empty"),
            (rerank.Rerank(pb.RerankRequest(query="q")), "texts", "texts is empty; allowed: at least one"),
            (rerank.Rerank(pb.RerankRequest(query="q", texts=["a", LONG])), "texts[1]", "texts[1] has 30 tokens"),
            (
                stubs.tokenize.Tokenize(pb.EncodeRequest(inputs="a" * 99_999), **to_model("moods")),
                "inputs",
                "more than",
            ),
        ):
            code, found, said = await refused(call)
            assert (code, found) == (grpc.StatusCode.INVALID_ARGUMENT, field)
            assert words in said
        assert (await stubs.tokenize.Tokenize(pb.EncodeRequest(), **to_model("moods"))).tokens == []

    with_server(models, "vectors masks moods ranks", test)


def test_calls_of_both_contracts_run_side_by_side(models: Models) -> None:
    async def test(stubs: Stubs) -> None:
        words = ["a", "bb", "hello", "abcdefgh"] * 8
        alone = {word: (await stubs.embed.Embed(pb.EmbedRequest(inputs=word))).embeddings for word in set(words)}
        typed = [stubs.typed.Embed(encoding_pb2.EmbedRequest(inputs=texts(word), normalize=True)) for word in words]
        found = await asyncio.gather(*(stubs.embed.Embed(pb.EmbedRequest(inputs=word)) for word in words), *typed)
        for word, one, other in zip(words, found, found[len(words) :], strict=False):
            assert one.embeddings == other.embeddings[0].values == alone[word]

    with_server(models, "vectors", test)
