"""What people get from trained models through a real server: an answer that is right, neighbours that are near."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from attendant.bundle import read_any_manifest
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb

from tests.real.conftest import ServerOf

QUESTIONS = {  # in float32 each token of these answers leads by .6 nats and more: no coin to toss
    "Complete the sentence: The capital of France is": "Paris",
    "Name the capital city of France.": "Paris",
}
NEIGHBOURS = (  # two and two belong together
    "The cat sits outside",
    "The cat plays in the garden",
    "I love pasta",
    "Do you like pizza?",
    "The new movie is awesome",
    "The new movie is so great",
    "My invoice shows the wrong amount",
    "I was charged too much on my bill",
    "The train was late because of the snow",
    "Heavy snowfall delayed our rail journey",
)
COSINE = {"fp32": 0.99999}  # to torch
QUANTISED_COSINE = 0.9995


def test_smollm2_knows_the_capital_of_france(smollm2_bundle: Path, server_of: ServerOf) -> None:
    with server_of(smollm2_bundle) as server:
        for question, answer in QUESTIONS.items():
            chat = pb.Chat(messages=[pb.ChatMessage(role="user", content=question)])
            request = pb.GenerateRequest(chat=chat, stopping=pb.Stopping(max_tokens=24))
            responses = list(server.generation.Generate(request, timeout=60))
            assert answer in "".join(response.text for response in responses)


def test_minilm_finds_the_nearest_sentence(minilm_bundle: Path, minilm: Path, server_of: ServerOf) -> None:
    inputs = [encoding_pb2.TextInput(text=text) for text in NEIGHBOURS]
    with server_of(minilm_bundle) as server:
        stub = encoding_pb2_grpc.EncodingStub(server.channel)
        embeddings = stub.Embed(encoding_pb2.EmbedRequest(inputs=inputs), timeout=60).embeddings
    vectors = np.array([embedding.values for embedding in embeddings], np.float32)  # [10, 384], each of length one
    similarities = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert [int(nearest) for nearest in similarities.argmax(axis=1)] == [index ^ 1 for index in range(len(vectors))]
    least = COSINE.get(read_any_manifest(minilm_bundle).precision, QUANTISED_COSINE)
    assert (vectors * torch_vectors(minilm)).sum(axis=1).mean() == pytest.approx(1, abs=1 - least)


def torch_vectors(folder: Path) -> npt.NDArray[np.float32]:
    """The sentences by torch, each alone: the mean of its tokens, of length one. [10, 384] float32."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in NEIGHBOURS]
    vectors: npt.NDArray[np.float32] = torch.nn.functional.normalize(torch.stack(rows)).numpy()
    return vectors
