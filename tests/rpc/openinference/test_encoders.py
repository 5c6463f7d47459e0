"""Models that encode, asked in the Open Inference Protocol: their answers are those of attendant.v1, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead
from attendant_proto.v1 import encoding_pb2 as v1

from tests.rpc.openinference.helpers import Server, request, tensor, tensors, with_server
from tests.synthetic_encoder import make_audio_encoder, make_image_encoder, make_text_encoder
from tests.system.encoders import add_special_tokens

TEXTS = ["it is fine", "no", "a longer text than both of the others"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    vectors = EmbeddingHead(pooling="mean", dimensions=4, normalise=True, prompts={"query": "find: "})
    found = {
        "classify": make_text_encoder(folder / "classify"),
        "rerank": make_text_encoder(folder / "rerank", "rerank", "padded", labels=("fits",)),
        "classify_tokens": make_text_encoder(folder / "classify_tokens", "classify_tokens", labels=("O", "B-X", "I-X")),
        "answer": make_text_encoder(folder / "answer", "answer"),
        "fill_mask": make_text_encoder(folder / "fill_mask", "fill_mask"),
        "embed": make_text_encoder(folder / "embed", "embed", embedding=vectors),
    }
    for bundle in found.values():
        add_special_tokens(bundle / "tokenizer.json")
    found["classify_image"] = make_image_encoder(folder / "classify_image")
    found["embed_image"] = make_image_encoder(folder / "embed_image", "embed_image")
    found["transcribe"] = make_audio_encoder(folder / "transcribe")
    return found


def texts(*values: str) -> list[v1.TextInput]:
    return [v1.TextInput(text=value) for value in values]


def decoded(values: np.ndarray) -> list[Any]:
    return [decoded(value) if isinstance(value, np.ndarray) else value.decode() for value in values]


def test_embed(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        typed = await server.typed.Embed(v1.EmbedRequest(inputs=texts(*TEXTS)))
        response = await server.stub.ModelInfer(request("embed", tensor("text", TEXTS, "BYTES"), call_id="7"))
        assert (response.model_name, response.model_version, response.id) == ("embed", "1", "7")
        found = tensors(response)
        assert found["embedding"].tolist() == [list(each.values) for each in typed.embeddings]
        column = tensor("text", [[text] for text in TEXTS], "BYTES")
        again = tensors(await server.stub.ModelInfer(request("embed", column)))
        assert again["embedding"].tolist() == found["embedding"].tolist()

        asked = {"dimensions": 2, "normalize": False, "prompt": "query", "usage": True}
        typed = await server.typed.Embed(
            v1.EmbedRequest(inputs=texts(*TEXTS), dimensions=2, normalize=False, prompt="query")
        )
        response = await server.stub.ModelInfer(request("embed", tensor("text", TEXTS, "BYTES"), parameters=asked))
        assert tensors(response)["embedding"].tolist() == [list(each.values) for each in typed.embeddings]
        assert response.parameters["num_tokens"].int64_param == typed.usage.num_tokens
        assert response.parameters["compute_s"].double_param > 0

        typed = await server.typed.Embed(v1.EmbedRequest(inputs=texts(*TEXTS), per_token=True))
        each = tensors(
            await server.stub.ModelInfer(
                request("embed", tensor("text", TEXTS, "BYTES"), parameters={"per_token": True})
            )
        )
        flat = [token for embedding in typed.embeddings for token in embedding.tokens]
        assert each["token_embedding"].tolist() == [list(token.values) for token in flat]
        assert each["token_id"].tolist() == [token.token_id for token in flat]
        assert each["token_span"].tolist() == [[token.span.start, token.span.end] for token in flat]
        assert each["count"].tolist() == [len(embedding.tokens) for embedding in typed.embeddings]

    with_server(test, bundles["embed"])
