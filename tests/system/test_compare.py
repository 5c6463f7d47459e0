"""Two models of a real server are compared; what is told of them is computed here anew from their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from attendant.bundle import EmbeddingHead
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb

from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder
from tests.system.encoders import FLAGS
from tests.system.server import ServerProcess, attendant, serving

PROMPTS = [f"prompt {number}" for number in range(8)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two models that generate, of which one ends its answers; two that classify; two that embed."""
    folder = tmp_path_factory.mktemp("models")
    vectors = EmbeddingHead(pooling="mean", dimensions=4, normalise=True)
    bundles = [
        make_synthetic_bundle(folder / "ends", name="ends", eos_bias=2.0),
        make_synthetic_bundle(folder / "goes-on", name="goes-on", eos_bias=-1e4),
        make_text_encoder(folder / "moods", "classify"),
        make_text_encoder(folder / "tempers", "classify", "padded"),
        make_text_encoder(folder / "vectors", "embed", embedding=vectors),
        make_text_encoder(folder / "points", "embed", embedding=vectors.model_copy(update={"normalise": False})),
    ]
    with serving(folder / "log", *bundles, *FLAGS, "--engine.threads", 1) as running:
        yield running


def write(path: Path, *cases: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    return path


def compared(server: ServerProcess, *words: object) -> dict[str, dict[str, Any]]:
    """Rows by name."""
    done = attendant("compare", *words, "--server", server.grpc, "--rounds", 2, "--json")
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for section in json.loads(done.stdout)["sections"] for row in section["rows"]}


def answer(server: ServerProcess, model: str, prompt: str) -> str:
    request = pb.GenerateRequest(model=model, text=prompt, stopping=pb.Stopping(max_tokens=24), whole=True)
    return "".join(response.text for response in server.generation.Generate(request)).strip()


def test_answers_and_speed(server: ServerProcess, tmp_path: Path) -> None:
    texts = [[answer(server, model, prompt) for prompt in PROMPTS] for model in ("ends", "goes-on")]
    cases = [{"text": prompt, "reference": right} for prompt, right in zip(PROMPTS, texts[1], strict=True)]
    file, html = write(tmp_path / "f", *cases), tmp_path / "f.html"
    flags = ("--raw", "--file", file, "--max-tokens", 24, "--concurrency", 3, "--price-per-hour", 2, "--html", html)
    rows = compared(server, "ends", "goes-on", *flags)
    equal = mean(one == other for one, other in zip(*texts, strict=True))
    assert 0 < equal < 1
    assert rows["equal answers"]["values"] == [equal]
    assert rows["equal to the right answer"]["values"] == [equal, 1.0]
    assert rows["tokens of an answer, mean"]["values"][1] == 24
    assert rows["cost of 1,000 requests"]["values"] == pytest.approx(
        [seconds * 2 / 3600 for seconds in rows["machine time of 1,000 requests"]["values"]]
    )
    assert all(value > 0 for value in rows["first token"]["values"])
    assert "<title>ends and goes-on</title>" in html.read_text(encoding="utf-8")
    found = server.metrics()
    assert found["prompt_tokens_cached_total"] <= found["prompt_tokens_total"] / 2, "timed prompts are new"


def test_given_answers(server: ServerProcess, tmp_path: Path) -> None:
    """The one that never ends gives the end's share to the other tokens: it holds every answer for more probable."""
    cases = [{"text": prompt, "answer": "some answer"} for prompt in PROMPTS]
    rows = compared(server, "ends", "goes-on", "--file", write(tmp_path / "f", *cases), "--max-tokens", 1, "--raw")
    expected = []
    ids = server.tokenizer.Tokenize(_tokenize("ends", "some answer")).token_ids
    for model in ("ends", "goes-on"):
        sums = []
        for prompt in PROMPTS:
            forced = pb.TokenIds(ids=ids)
            request = pb.GenerateRequest(model=model, text=prompt, forced_answer=forced, logprobs=0)
            sums.append(sum(e.logprob for r in server.generation.Generate(request) for e in r.logprobs))
        expected.append(mean(sums))
    assert rows["log-likelihood of an answer, mean"]["values"] == pytest.approx(expected, rel=1e-6)
    assert rows["answers held for more probable"]["values"] == [0, 1]


def _tokenize(model: str, text: str) -> Any:
    from attendant_proto.v1 import models_pb2

    return models_pb2.TokenizeRequest(model=model, text=text)


def test_labels(server: ServerProcess, tmp_path: Path) -> None:
    stub: Any = encoding_pb2_grpc.EncodingStub(server.channel)
    request = encoding_pb2.ClassifyRequest(
        model="moods", inputs=[encoding_pb2.TextInput(text=text) for text in PROMPTS], top_k=1
    )
    best = [result.labels[0].label for result in stub.Classify(request).results]
    labels = [*best[:-1], "another"]
    cases = [{"text": text, "label": label} for text, label in zip(PROMPTS, labels, strict=True)]
    rows = compared(server, "moods", "tempers", "--file", write(tmp_path / "f", *cases))
    assert rows["equal labels"]["values"] == [1]  # the same weights, padded or not
    assert rows["right labels"]["values"] == [7 / 8, 7 / 8]
    assert "first token" not in rows


def test_vectors(server: ServerProcess, tmp_path: Path) -> None:
    cases = [{"text": "a", "pair": prompt, "score": index} for index, prompt in enumerate(PROMPTS)]
    rows = compared(server, "vectors", "points", "--file", write(tmp_path / "f", *cases))
    assert rows["rank agreement of pairs (Spearman)"]["values"] == pytest.approx([1])
    one, other = rows["with given scores (Spearman)"]["values"]
    assert one == pytest.approx(other)


@pytest.mark.parametrize(
    ("words", "case", "told"),
    [
        (("ends", "moods"), {"text": "a"}, "ends does generate, moods classify; allowed: two models of one task"),
        (("ends", "ends"), {"text": "a"}, "both models are 'ends'"),
        (("ends", "nobody"), {"text": "a"}, "nobody"),
        (("ends", "goes-on"), {"text": "a", "label": "x"}, "label and pair are for models that classify or embed"),
        (("moods", "tempers"), {"text": "a", "answer": "x"}, "answer and reference are for models that generate"),
        (("moods", "tempers"), {"chat": [{"role": "user", "content": "a"}]}, "not both models have a chat template"),
        (("vectors", "points"), {"text": "a"}, "at least two lines with text and pair"),
        (("ends", "goes-on"), {"txt": "a"}, ":1: there is no field 'txt'"),
    ],
)
def test_what_cannot_be_compared_says_why(
    server: ServerProcess, tmp_path: Path, words: tuple[str, str], case: dict[str, Any], told: str
) -> None:
    done = attendant("compare", *words, "--file", write(tmp_path / "f", case), "--server", server.grpc)
    assert done.returncode in (1, 2)
    assert told in done.stderr
