"""/v1/embeddings by OpenAI's own client: vectors are those of the front end, to the bit."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from attendant.bundle import EmbeddingHead
from attendant.frontend.encoding.calls import EmbedCall, TextItem
from attendant.http.api.openai import embeddings

from tests.http.api.openai.conftest import client_of
from tests.http.api.served import ApiSite
from tests.synthetic_encoder import expected_tokens, make_text_encoder
from tests.system.encoders import add_special_tokens

TEXTS = ("hello", "a longer text", "ü")
MODELS = ("mean", "cls", "last")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    folder = tmp_path_factory.mktemp("bundles")
    made = []
    for pooling in MODELS:
        head = EmbeddingHead(
            pooling=pooling, dimensions=4, normalise=pooling != "cls", prompts={"query": "q: ", "passage": ""}
        )
        made.append(make_text_encoder(folder / pooling, "embed", embedding=head, name=pooling, max_tokens=64))
        add_special_tokens(made[-1] / "tokenizer.json")
    made.append(make_text_encoder(folder / "moods", "classify", name="moods"))
    site = ApiSite(*made)
    yield site
    site.close()


@pytest.fixture
def client(site: ApiSite) -> Iterator[openai.OpenAI]:
    with client_of(site) as client:
        yield client


def vectors(site: ApiSite, model: str, *items: TextItem, **fields: Any) -> np.ndarray:
    encoded = site.loop.run(site.front_end.encoding.embed(EmbedCall(model, items, **fields)))
    return np.stack([each.values for each in encoded.results])


def texts(*values: str) -> list[TextItem]:
    return [TextItem(value) for value in values]


@pytest.mark.parametrize("model", MODELS)
def test_vectors_are_the_front_ends_to_the_bit(site: ApiSite, client: openai.OpenAI, model: str) -> None:
    expected = vectors(site, model, *texts(*TEXTS))
    as_bytes = client.embeddings.create(model=model, input=list(TEXTS))  # what the client asks for by itself
    as_numbers = client.embeddings.create(model=model, input=list(TEXTS), encoding_format="float")
    for answer in (as_bytes, as_numbers):
        found = np.array([each.embedding for each in answer.data], np.float32)
        np.testing.assert_array_equal(found, expected)
        assert [each.index for each in answer.data] == [0, 1, 2]
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(len(t.encode()) + 2 for t in TEXTS)
    assert as_numbers.model == model


def test_a_vector_is_what_the_model_says(site: ApiSite) -> None:
    ids = [1, 70, 71, 2]
    _, body = site.post("/v1/embeddings", {"model": "cls", "input": ids})
    assert body["data"][0]["embedding"] == expected_tokens(ids)[0].tolist()


def test_base64_is_little_endian_float32(site: ApiSite) -> None:
    _, body = site.post("/v1/embeddings", {"model": "mean", "input": "hello", "encoding_format": "base64"})
    packed = base64.b64decode(body["data"][0]["embedding"])
    assert packed == vectors(site, "mean", TextItem("hello"))[0].astype("<f4").tobytes()


def test_tokens_are_read_as_they_are(site: ApiSite, client: openai.OpenAI) -> None:
    ids = [[1, 40, 2], [1, 41, 42, 2]]
    expected = vectors(site, "mean", *(TextItem(token_ids=each) for each in ids))
    several = client.embeddings.create(model="mean", input=ids)
    one = client.embeddings.create(model="mean", input=ids[1])
    np.testing.assert_array_equal(np.array([each.embedding for each in several.data], np.float32), expected)
    np.testing.assert_array_equal(np.array([each.embedding for each in one.data], np.float32), expected[1:])


def test_fewer_dimensions_are_cut_and_normalised_again(site: ApiSite, client: openai.OpenAI) -> None:
    whole = vectors(site, "mean", TextItem("hello"))[0]
    found = np.array(client.embeddings.create(model="mean", input="hello", dimensions=2).data[0].embedding)
    np.testing.assert_allclose(found, whole[:2] / np.linalg.norm(whole[:2]), rtol=1e-6)
    with pytest.raises(openai.BadRequestError, match="dimensions is 5; allowed: 1 to 4"):
        client.embeddings.create(model="mean", input="hello", dimensions=5)


def test_more_than_openai_has(site: ApiSite) -> None:
    def post(**fields: Any) -> list[float]:
        status, body = site.post("/v1/embeddings", {"model": "cls", "input": "hello" * 20, **fields})
        assert status == 200, body
        return body["data"][0]["embedding"]  # type: ignore[no-any-return]

    def front_end(*, text: str = "hello" * 20, **fields: Any) -> list[float]:
        return vectors(site, "cls", TextItem(text), **fields)[0].tolist()  # type: ignore[no-any-return]

    cut: dict[str, Any] = {"truncate": True}
    assert post(truncate_prompt_tokens=-1) == post(truncate=True) == front_end(**cut)
    assert post(truncate_prompt_tokens=9) == front_end(text="hellohe")
    assert post(truncate_prompt_tokens=9, truncation_side="left") == front_end(text="lohello")
    assert post(truncate_prompt_tokens=1000) == front_end(**cut)
    assert post(truncate=True, normalize=True) == front_end(**cut, normalize=True)
    assert post(input="x", prompt_name="query") == front_end(text="x", prompt="query")
    assert post(input="x", user="u", priority=0, add_special_tokens=True) == front_end(text="x")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": []}, 400, "input"),
        ({"input": None}, 400, "input"),
        ({"input": {"text": "x"}}, 400, "input"),
        ({"input": ["x", 1]}, 400, "input[1]"),
        ({"input": [["x"]]}, 400, "input[0]"),
        ({"input": [[1], []]}, 400, "input[1]"),
        ({"input": [1.5]}, 400, "input[0]"),
        ({"input": [True]}, 400, "input[0]"),
        ({"input": [-1]}, 400, "input[0]"),
        ({"input": [10**30]}, 400, "input[0]"),
        ({"input": [[1, 2], [10**6]]}, 400, "input[1]"),
        ({"input": ["x"] * 2049}, 400, "input"),
        ({"input": ["x", "y" * 100]}, 400, "input[1]"),
        ({"dimensions": 0}, 400, "dimensions"),
        ({"encoding_format": "hex"}, 400, "encoding_format"),
        ({"truncate_prompt_tokens": 2}, 400, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": -2}, 400, "truncate_prompt_tokens"),
        ({"truncation_side": "left"}, 400, "truncation_side"),
        ({"add_special_tokens": False}, 400, "add_special_tokens"),
        ({"priority": 1}, 400, "priority"),
        ({"prompt_name": "title"}, 400, "prompt_name"),
        ({"messages": []}, 400, "messages"),
        ({"model": "moods"}, 400, "model"),
        ({"model": "x"}, 404, "model"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(site: ApiSite, fields: dict[str, Any], status: int, param: str) -> None:
    told, body = site.post("/v1/embeddings", {"model": "mean", "input": "x", **fields})
    assert (told, body["error"]["param"]) == (status, param), body


def test_many_numbers_are_written_in_a_thread(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in (
        {"model": "mean", "input": list(TEXTS)},
        {"model": "mean", "input": "x", "encoding_format": "base64"},
    ):
        monkeypatch.setattr(embeddings, "MANY_NUMBERS", 10_000)
        _, _, short = site.send("/v1/embeddings", asked)
        monkeypatch.setattr(embeddings, "MANY_NUMBERS", 1)
        _, _, long = site.send("/v1/embeddings", asked)
        assert long == short
