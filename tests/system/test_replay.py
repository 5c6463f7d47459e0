"""Kept answers are made again by another server: none changes on the same bundle, the right ones on another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attendant.traffic.calls import KeptCall
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb

from tests.synthetic import make_synthetic_bundle
from tests.system.encoders import FLAGS, make_encoders
from tests.system.server import ServerProcess, attendant, serving

PROMPTS = [f"prompt {number}" for number in range(12)]
SAME, FAILED, USAGE, CHANGED = 0, 1, 2, 3


def replay(server: ServerProcess, *words: object) -> tuple[int, dict[str, Any]]:
    done = attendant("replay", *words, "--server", server.grpc, "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def write(path: Path, calls: list[KeptCall]) -> Path:
    path.write_text("".join(call.line() + "\n" for call in calls), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers of a model and of what encodes. The second one's has other weights: it never ends an answer."""
    folder = tmp_path_factory.mktemp("pair")
    make_encoders(folder / "encoders")
    with ExitStack() as stack:
        servers = []
        for name, eos_bias in (("one", 2.0), ("other", -1e4)):
            bundle = make_synthetic_bundle(folder / name, name="model", eos_bias=eos_bias)
            threads = 1 if name == "one" else 2
            words = (bundle, folder / "encoders", *FLAGS, "--engine.threads", threads)
            servers.append(stack.enter_context(serving(folder / f"{name}.log", *words)))
        yield servers[0], servers[1]


def asked(prompt: str, **sampling: Any) -> pb.GenerateRequest:
    stopping = pb.Stopping(max_tokens=24)
    return pb.GenerateRequest(
        model="model", text=prompt, stopping=stopping, sampling=pb.Sampling(**sampling), receipt=True
    )


def generated(server: ServerProcess, *requests: pb.GenerateRequest) -> list[KeptCall]:
    return [KeptCall.of(request, server.generation.Generate(request)) for request in requests]


def encoded(server: ServerProcess) -> list[KeptCall]:
    stub: Any = encoding_pb2_grpc.EncodingStub(server.channel)
    texts = [encoding_pb2.TextInput(text=text) for text in PROMPTS[:3]]
    embed = encoding_pb2.EmbedRequest(inputs=texts, receipt=True)
    classify = encoding_pb2.ClassifyRequest(inputs=texts, receipt=True)
    return [KeptCall.of(embed, [stub.Embed(embed)]), KeptCall.of(classify, [stub.Classify(classify)])]


def test_nothing_changes_on_the_same_bundle(pair: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> None:
    """Greedy and drawn answers, several at once, vectors and labels; drawn ones by the seed that the server chose."""
    one, _ = pair
    calls = generated(one, *map(asked, PROMPTS), *(asked(prompt, temperature=2) for prompt in PROMPTS))
    calls += generated(one, pb.GenerateRequest(model="model", text="n", n=3, sampling={"temperature": 2}, receipt=True))
    calls += encoded(one)
    code, found = replay(one, write(tmp_path / "calls.jsonl", calls), "--concurrency", 7)
    assert (code, found["compared"], found["changed"], found["makers"]) == (SAME, len(calls), 0, [])


def test_bits_do_not_depend_on_threads(pair: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> None:
    """What encodes is the same bundle on both servers; threads of a run are not."""
    one, other = pair
    code, found = replay(other, write(tmp_path / "calls.jsonl", encoded(one)))
    assert (code, found["changed"], found["makers"]) == (SAME, 0, [])


def test_other_weights_change_the_answers_that_they_change(
    pair: tuple[ServerProcess, ServerProcess], tmp_path: Path
) -> None:
    one, other = pair
    requests = list(map(asked, PROMPTS))
    before, after = generated(one, *requests), generated(other, *requests)
    expected = {}
    for line, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        ids = (list(old.responses[0].token_ids), list(new.responses[0].token_ids))
        pairs = itertools.zip_longest(*ids)
        if ids[0] != ids[1]:
            expected[line] = next((index, [a, b]) for index, (a, b) in enumerate(pairs) if a != b)
    assert 0 < len(expected) < len(PROMPTS), "some change and some do not"
    path = write(tmp_path / "calls.jsonl", before)
    code, found = replay(other, path, "--show", 100)
    assert code == CHANGED
    assert found["share_changed"] == pytest.approx(len(expected) / len(PROMPTS))
    changes = {outcome["place"]: outcome["changes"][0] for outcome in found["outcomes"]}
    told = {place: (change["token"], change["token_ids"]) for place, change in changes.items()}
    assert told == {f"{path}:{line}": place for line, place in expected.items()}
    texts = [[old.responses[0].text, new.responses[0].text] for old, new in zip(before, after, strict=True)]
    assert [change["texts"] for change in changes.values()] == [texts[line - 1] for line in expected]
    assert [(maker["what"], maker["calls"]) for maker in found["makers"]] == [("bundle", len(PROMPTS))]
    shown = attendant("replay", path, "--server", other.grpc)
    assert shown.returncode == CHANGED
    assert f"{len(expected)} of {len(PROMPTS)} answers changed" in shown.stdout
    assert f"model: bundle was {before[0].receipts[0].maker.bundle}, is" in shown.stdout


def test_settings_that_differ_are_told_as_the_reason(pair: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> None:
    one, _ = pair
    (call,) = generated(one, asked("prompt 1"))
    call.request.stopping.max_tokens = 2
    code, found = replay(one, write(tmp_path / "calls.jsonl", [call]))
    (outcome,) = found["outcomes"]
    assert code == CHANGED
    assert outcome["changes"][0]["token"] == 2
    assert outcome["reasons"] == [{"where": "setting max_tokens", "before": "24", "after": "2"}]


def test_another_model_can_be_asked(pair: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> None:
    one, _ = pair
    path = write(tmp_path / "calls.jsonl", generated(one, asked("a")))
    code, found = replay(one, path, "--against", "nobody")
    assert (code, found["failed"]) == (FAILED, 1)
    assert "no model named 'nobody'" in found["outcomes"][0]["error"]
    code, found = replay(one, path, "--against", "model")
    assert (code, found["same"]) == (SAME, 1)


def test_an_answer_that_was_drawn_without_a_receipt_is_not_compared(
    pair: tuple[ServerProcess, ServerProcess], tmp_path: Path
) -> None:
    one, _ = pair
    drawn = pb.GenerateRequest(model="model", text="a", sampling=pb.Sampling(temperature=1))
    code, found = replay(one, write(tmp_path / "calls.jsonl", generated(one, drawn)))
    assert code == FAILED
    assert "nobody knows the seed" in found["outcomes"][0]["error"]


def test_a_bad_line_is_named(pair: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> None:
    one, _ = pair
    path = write(tmp_path / "calls.jsonl", generated(one, asked("a")))
    with path.open("a") as file:
        file.write('\n{"format": 1, "call": "gene')
    for words, told in (((path,), f"{path}:3: is not JSON"), ((tmp_path / "none",), "none"), (("-",), "no calls")):
        done = attendant("replay", *words, "--server", one.grpc)
        assert done.returncode == USAGE
        assert told in done.stderr
