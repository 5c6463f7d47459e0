"""OpenAI's client, embedding: it asks for base64 without being told."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import openai
import pytest
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, models_pb2

from tests.system.server import ServerProcess


def vectors_of(server: ServerProcess, *texts: str, dimensions: int | None = None) -> list[list[float]]:
    stub: Any = encoding_pb2_grpc.EncodingStub(server.channel)
    inputs = [encoding_pb2.TextInput(text=text) for text in texts]
    found = stub.Embed(encoding_pb2.EmbedRequest(model="vectors", inputs=inputs, dimensions=dimensions))
    return [list(vector.values) for vector in found.embeddings]


def test_vectors_are_attendant_v1s_to_the_bit(server: ServerProcess, client: openai.OpenAI) -> None:
    """sota.md 3, row 15: the client asks for base64 without being told."""
    texts = ["hello", "a longer text that is not like it"]
    expected = vectors_of(server, *texts)
    found = client.embeddings.create(model="vectors", input=texts)
    assert [each.embedding for each in found.data] == expected
    assert [each.index for each in found.data] == [0, 1]
    raw = client.embeddings.with_raw_response.create(model="vectors", input=texts).http_response.json()
    assert np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4").tolist() == expected[0]
    plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")
    assert np.array(plain.data[1].embedding, np.float32).tolist() == expected[1]
    assert found.usage.prompt_tokens == found.usage.total_tokens > 0


def test_embeddings_of_tokens_and_of_fewer_dimensions(server: ServerProcess, client: openai.OpenAI) -> None:
    """sota.md 3, row 15."""
    (shorter,) = vectors_of(server, "hello", dimensions=2)
    assert client.embeddings.create(model="vectors", input="hello", dimensions=2).data[0].embedding == shorter
    ids = list(server.tokenizer.Tokenize(models_pb2.TokenizeRequest(model="vectors", text="hello")).token_ids)
    (whole,) = vectors_of(server, "hello")
    assert client.embeddings.create(model="vectors", input=ids).data[0].embedding == whole
    assert [each.embedding for each in client.embeddings.create(model="vectors", input=[ids, ids]).data] == [whole] * 2


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": []}, "input"),
        ({"input": "x" * 5000}, "input"),
        ({"dimensions": 99}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"model": "demo"}, "model"),
    ],
)
def test_embeddings_that_cannot_be(client: openai.OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        client.embeddings.create(**{"model": "vectors", "input": "hello"} | change)
    assert (caught.value.param or "").partition("[")[0] == param
