"""Clients that nobody here wrote ask tei.v1: one that was made for TEI, and one that knows what the server tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attendant
import numpy as np
import pytest
from attendant.models.encoders import EncoderPart
from attendant.rpc import reflection
from attendant.rpc.server import SERVICES
from attendant_proto.v1 import encoding_pb2

from tests.rpc.fake import run
from tests.rpc.tei_server import MAX_TOKENS, Stubs, make_models, tei_server
from tests.strangers.environments import TEI
from tests.strangers.stranger import Stranger, stranger
from tests.system.encoders import BOS, END, texts

TEXTS = ["hello", "a", "abcdefgh", "b\u00e9"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EncoderPart]:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def client() -> Iterator[Stranger]:
    with stranger(TEI, "by_tei_client.py", "") as made:
        yield made


Ask = Callable[..., Awaitable[Any]]


def with_server(
    models: dict[str, EncoderPart], names: str, asked: Stranger, test: Callable[[Stubs, Ask], Awaitable[None]]
) -> None:
    """Run ``test`` while these models are served, with what has the stranger do something to the server."""

    async def main() -> None:
        async with tei_server([models[name] for name in names.split()]) as stubs:

            async def ask(action: str, **given: Any) -> Any:
                return await asyncio.to_thread(asked.ask, action, address=stubs.address, **given)

            await test(stubs, ask)

    run(main)


def test_it_is_the_client_that_was_asked_for(client: Stranger) -> None:
    assert f"tei-client[grpc]=={client.ask('versions')['tei-client']}" in TEI.packages


def test_embedding(models: dict[str, EncoderPart], client: Stranger) -> None:
    async def test(stubs: Stubs, ask: Ask) -> None:
        info = await ask("info")
        assert (info["version"], info["type"], info["max_input_length"]) == (
            *(attendant.__version__, "ModelType.Embedding"),
            MAX_TOKENS,
        )
        typed = encoding_pb2.EmbedRequest(inputs=texts(*TEXTS), normalize=True)
        expected = [list(each.values) for each in (await stubs.typed.Embed(typed)).embeddings]
        assert await ask("embed", texts=TEXTS) == [expected, expected]
        long = "abcdefghijklmnopqrstuvwxyz"
        last = encoding_pb2.EmbedRequest(inputs=texts(long[-14:]), normalize=True)
        (expected_last,) = (await stubs.typed.Embed(last)).embeddings
        left = await ask("embed", texts=[long], truncate=True, truncation_direction="Left")
        assert left == [[list(expected_last.values)]] * 2
        typed = encoding_pb2.EmbedRequest(inputs=texts(*TEXTS), per_token=True)
        by_token = [[list(t.values) for t in each.tokens] for each in (await stubs.typed.Embed(typed)).embeddings]
        assert await ask("embed_all", texts=TEXTS) == [by_token, by_token]
        code, words = await ask("refused", method="embed", given=[[long]])
        assert code == "INVALID_ARGUMENT"
        assert "inputs has 28 tokens" in words

    with_server(models, "vectors images", client, test)


def test_words(models: dict[str, EncoderPart], client: Stranger) -> None:
    async def test(stubs: Stubs, ask: Ask) -> None:
        one, other = await ask("tokenize", texts=TEXTS)
        assert one == other
        assert [token["text"] for token in one[0]] == [BOS, *"hello", END]
        assert [token["special"] for token in one[0]] == [True, *[False] * 5, True]
        assert (one[3][2]["start"], one[3][2]["stop"]) == (1, 2)
        assert await ask("decode", ids=[[token["id"] for token in text] for text in one]) == TEXTS

    with_server(models, "moods", client, test)


def test_classifying(models: dict[str, EncoderPart], client: Stranger) -> None:
    async def test(stubs: Stubs, ask: Ask) -> None:
        for inputs, typed in (
            (TEXTS, texts(*TEXTS)),
            ([["a", "b"], ["c", "d"]], [encoding_pb2.TextInput(text=a, pair=b) for a, b in ("ab", "cd")]),
        ):
            results = (await stubs.typed.Classify(encoding_pb2.ClassifyRequest(inputs=typed))).results
            expected = [[[label.label, label.score] for label in result.labels] for result in results]
            assert await ask("classify", inputs=inputs) == expected

    with_server(models, "moods", client, test)


def test_a_client_that_asks_what_there_is(models: dict[str, EncoderPart]) -> None:
    async def test(stubs: Stubs, ask: Ask) -> None:
        assert await ask("services") == sorted({*SERVICES, "grpc.health.v1.Health", *reflection.NAMES})
        asked = {"service": "tei.v1.Embed", "method": "Embed", "request": "tei.v1.EmbedRequest", "inputs": "hello"}
        found = await ask("call", **asked, metadata=[["model", "vectors"]])
        typed = encoding_pb2.EmbedRequest(inputs=texts("hello"), normalize=True)
        (expected,) = (await stubs.typed.Embed(typed)).embeddings
        assert np.float32(found["embeddings"]).tolist() == list(expected.values)
        ranked = await ask(
            *("call",),
            **{"service": "tei.v1.Rerank", "method": "Rerank", "request": "tei.v1.RerankRequest"},
            **{"metadata": [], "query": "q", "texts": ["a", "bb"], "return_text": True},
        )
        assert sorted(rank["text"] for rank in ranked["ranks"]) == ["a", "bb"]

    with stranger(TEI, "by_yagrc.py", "") as asked:
        with_server(models, "vectors ranks moods", asked, test)
