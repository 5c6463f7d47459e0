"""``attendant explain`` against a real server of the demo models: what is asked, what comes, what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.cli import main
from attendant_demo.shapes.draw import draw_one
from attendant_proto.v1 import generation_pb2 as pb

from tests.system.server import ServerProcess, serving

QUESTION = "Where is my order?"
Explain = Callable[..., Any]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("log") / "log", "--demo", "--no-verify-bundles") as process:
        yield process


@pytest.fixture
def explain(demo: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Explain:
    """What the command prints as JSON: one view."""

    def command(*words: object) -> Any:
        assert main(["explain", *map(str, words), "--server", demo.grpc, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return command


def weights(view: Any) -> np.ndarray:
    """[layers, heads, rows, keys]."""
    return np.array([layer["weights"] for layer in view["layers"]])


def texts(tokens: list[dict[str, Any]]) -> str:
    return "".join(token["text"] for token in tokens)


def test_an_answer_and_what_it_looked_at(demo: ServerProcess, explain: Explain) -> None:
    chat = pb.Chat(messages=[pb.ChatMessage(role="user", content=QUESTION)])
    request = pb.GenerateRequest(model="demo", chat=chat, stopping=pb.Stopping(max_tokens=6))
    *_, last = parts = list(demo.generation.Generate(request, timeout=60))
    view = explain(QUESTION, "--model", "demo", "--max-tokens", 6)
    assert view["answer"] == texts(view["rows"]) == "".join(part.text for part in parts)
    assert view["num_prompt"] == last.finish.usage.prompt_tokens
    assert texts(view["keys"]) == f"<|user|>{QUESTION}<|end|><|assistant|>{texts(view['rows'][:-1])}"
    found = weights(view)
    assert found.shape == (1, 1, 6, view["num_prompt"] + 5)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-3)
    assert (found[..., 0] == 0).all(), "the first token is taken out, unless it is asked for"
    assert (weights(explain(QUESTION, "--model", "demo", "--max-tokens", 6, "--with-sink"))[..., 0] > 0).all()
    given = explain(QUESTION, "--model", "demo", "--answer", view["answer"])
    np.testing.assert_allclose(weights(given), found, atol=1e-4)


def test_layers_heads_and_reductions(explain: Explain) -> None:
    asked = (QUESTION, "--model", "demo", "--max-tokens", 4)
    every = explain(*asked, "--reduction", "none", "--with-sink")
    found = weights(every)
    assert found.shape[:2] == (every["num_layers"], every["num_heads"]) == (4, 8)
    one = explain(*asked, "--layer", 1, "--head", 2, "--head", 5, "--with-sink")
    assert [(layer["number"], layer["heads"]) for layer in one["layers"]] == [(1, [2, 5])]
    np.testing.assert_allclose(weights(one)[0], found[1, [2, 5]], atol=1e-5)
    for name, wanted in {
        "mean-heads": found.mean(axis=1, keepdims=True),
        "max-heads": found.max(axis=1, keepdims=True),
        "mean": found.mean(axis=(0, 1), keepdims=True),
        "max": found.max(axis=(0, 1), keepdims=True),
    }.items():
        np.testing.assert_allclose(weights(explain(*asked, "--reduction", name, "--with-sink")), wanted, atol=2e-5)


def test_a_prompt_alone(explain: Explain) -> None:
    view = explain(QUESTION, "--model", "demo", "--raw", "--max-tokens", 0)
    assert view["answer"] == ""
    assert texts(view["rows"]) == texts(view["keys"]) == QUESTION
    assert (np.triu(weights(view)[0, 0], 1) == 0).all(), "nobody looks ahead"


def test_a_translation_looks_at_its_source(explain: Explain) -> None:
    view = explain("Where is my order?", "--model", "translator", "--max-tokens", 5)
    assert view["kind"] == "cross"
    assert texts(view["rows"]).strip() == view["answer"].strip()
    assert view["keys"][-1]["text"] == "</s>"
    assert view["num_prompt"] == 0, "no key is of the answer"
    np.testing.assert_allclose(weights(view).sum(axis=-1), 1, atol=1e-3)
    assert not view["without_sink"], "a source has no such token"


def test_an_image_is_looked_at_by_its_class_token(explain: Explain, tmp_path: Path) -> None:
    path = tmp_path / "star.png"
    draw_one("star", random.Random(1)).image.save(path)
    view = explain("--image", path)  # the only model that takes images
    assert view["grid"] == {"rows": 6, "columns": 6, "num_prefix": 1}
    assert weights(view).shape == (1, 1, 1, 37)


def test_what_an_answer_hung_on(explain: Explain, demo: ServerProcess, tmp_path: Path) -> None:
    asked = ("a lovely film, truly", "--model", "sentiment")
    view = explain(*asked, "--method", "occlusion")
    assert [part["text"] for part in view["parts"]] == ["a", "lovely", "film,", "truly"]
    assert max(view["parts"], key=lambda part: part["weight"])["text"] == "lovely"
    other = explain(*asked, "--method", "occlusion", "--label", "negative")
    assert min(other["parts"], key=lambda part: part["weight"])["text"] == "lovely", "it spoke against that"
    rolled = explain(*asked, "--method", "rollout")
    assert 0 < sum(part["weight"] for part in rolled["parts"]) <= 1
    both = ["explain", *asked, "--method", "attention", "--method", "occlusion", "--server", demo.grpc]
    assert main([*both, "--output", str(tmp_path / "both.svg")]) == 0
    assert "left out: change of the log-probability" in (tmp_path / "both.svg").read_text(encoding="utf-8")


def test_a_word_in_two_contexts(explain: Explain) -> None:
    contexts = ("--context", "a lovely film", "--context", "a lovely day", "--context", "a dull film")
    view = explain(*contexts, "--word", "lovely", "--word", "lovely", "--word", "dull", "--model", "sentiment")
    found = np.array(view["cosines"])
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
    np.testing.assert_allclose(found, found.T, atol=1e-5)
    assert found[0, 1] > found[0, 2]


def test_the_steps_of_a_request(explain: Explain) -> None:
    view = explain("--steps", QUESTION, "--model", "demo", "--max-tokens", 8)
    assert [stage["name"] for stage in view["stages"]] == ["tokenise", "queue", "prefill", "decode"]
    assert all(stage["seconds"] > 0 for stage in view["stages"])
    assert "8 tokens of answer" in view["counts"]
    assert "Where" in view["stages"][0]["meaning"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((QUESTION, "--model", "demo", "--layer", 9), "INVALID_ARGUMENT: layers"),
        ((QUESTION, "--model", "demo", "--kind", "cross"), "INVALID_ARGUMENT: kind"),
        (("--audio", __file__), "no model for task 'transcribe' that gives attention is loaded"),
        (("--image", __file__), "INVALID_ARGUMENT: subject.image"),
        ((QUESTION, "--model", "none"), "NOT_FOUND"),
    ],
)
def test_what_is_refused_is_told_in_a_line(
    demo: ServerProcess, capsys: pytest.CaptureFixture[str], words: tuple[object, ...], said: str
) -> None:
    assert main(["explain", *map(str, words), "--server", demo.grpc]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
