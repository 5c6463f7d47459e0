"""Receipts over the wire: their digests computed anew from what a caller knows, and answers made again by them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attendant.demo import demo_bundles
from attendant.traffic.calls import KeptCall
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, models_pb2
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1.receipt_pb2 import Receipt

from tests.system.server import ServerProcess, attendant, serving


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def of_tokens(ids: Sequence[int]) -> str:
    return sha256(struct.pack(f"<{len(ids)}I", *ids))


def digest_of(receipt: Receipt) -> str:
    """The canonical form as docs/replay.md has it, from the message alone."""
    maker = receipt.maker
    names = ("model", "version", "bundle", "precision", "server", "processor")
    whole: dict[str, Any] = {
        "maker": {name: getattr(maker, name) for name in names} | {"libraries": dict(maker.libraries)},
        "call": receipt.call,
        "settings": receipt.settings,
        "input": receipt.input,
        "output": receipt.output,
    }
    if receipt.HasField("seed"):
        whole["seed"] = str(receipt.seed)
    return sha256(json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The embedded models."""
    with serving(
        tmp_path_factory.mktemp("log") / "server.log", "--engine.threads", 1, "--encoder.threads", 1
    ) as server:
        yield server


def chat(**fields: Any) -> pb.GenerateRequest:
    message = pb.ChatMessage(role="user", content="Where is my order?")
    return pb.GenerateRequest(model="demo", chat=pb.Chat(messages=[message]), receipt=True, **fields)


def answers(server: ServerProcess, request: pb.GenerateRequest) -> tuple[Any, ...]:
    return KeptCall.of(request, server.generation.Generate(request)).responses


def test_an_answer_that_was_drawn_is_made_again_by_its_receipt(demo: ServerProcess) -> None:
    drawn = pb.Sampling(temperature=1.5)
    (first,) = answers(demo, chat(sampling=drawn))
    receipt = first.finish.receipt
    assert receipt.HasField("seed")
    assert json.loads(receipt.settings)["temperature"] == 1.5
    drawn.seed = receipt.seed
    (again,) = answers(demo, chat(sampling=drawn))
    assert again.token_ids == first.token_ids
    assert again.finish.receipt == receipt


def test_digests_are_those_of_what_a_caller_knows(demo: ServerProcess) -> None:
    request = chat(stopping=pb.Stopping(max_tokens=5))
    (answer,) = answers(demo, request)
    receipt = answer.finish.receipt
    asked = models_pb2.TokenizeRequest(model="demo", chat=request.chat)
    assert receipt.input == of_tokens(demo.tokenizer.Tokenize(asked).token_ids)
    assert receipt.output == of_tokens(answer.token_ids)
    assert receipt.digest == digest_of(receipt)
    assert receipt.maker.bundle == sha256((demo_bundles()[0] / "bundle.json").read_bytes())
    assert not receipt.HasField("seed")
    assert receipt.maker == demo.models.GetModel(models_pb2.GetModelRequest(model="demo")).maker


def test_each_sequence_has_its_own(demo: ServerProcess) -> None:
    request = chat(sampling=pb.Sampling(temperature=1, seed=2**64 - 1), n=3, stopping=pb.Stopping(max_tokens=8))
    found = answers(demo, request)
    seeds = [answer.finish.receipt.seed for answer in found]
    assert seeds[0] == 2**64 - 1
    assert len(set(seeds)) == 3
    for answer in found:
        assert answer.finish.receipt.output == of_tokens(answer.token_ids)
    request.n, request.sampling.seed = 1, seeds[2]
    (alone,) = answers(demo, request)
    assert alone.finish.receipt == found[2].finish.receipt


def test_a_source_counts_as_input(demo: ServerProcess) -> None:
    def receipt(text: str) -> Receipt:
        request = pb.GenerateRequest(model="translator", text=text, receipt=True)
        (answer,) = answers(demo, request)
        found: Receipt = answer.finish.receipt
        return found

    one, same, other = receipt("the dog"), receipt("the dog"), receipt("the cat")
    assert one == same
    assert one.input != other.input
    assert one.settings == other.settings


def test_what_encodes_gives_one_for_each_call_on_streams_too(demo: ServerProcess) -> None:
    stub: Any = encoding_pb2_grpc.EncodingStub(demo.channel)
    request = encoding_pb2.ClassifyRequest(inputs=[encoding_pb2.TextInput(text="a fine thing")], receipt=True)
    response = stub.Classify(request)
    bare = encoding_pb2.ClassifyResponse(results=response.results)
    assert response.receipt.output == sha256(bare.SerializeToString())
    assert response.receipt.digest == digest_of(response.receipt)
    assert response.receipt.call == "classify"
    (streamed,) = stub.Stream(iter([encoding_pb2.EncodingRequest(id="1", classify=request)]))
    assert streamed.classify.receipt == response.receipt
    request.receipt = False
    assert not stub.Classify(request).HasField("receipt")


def test_who_does_not_ask_gets_the_same_answer_and_no_receipt(demo: ServerProcess) -> None:
    request = chat()
    (asked,) = answers(demo, request)
    request.receipt = False
    (plain,) = answers(demo, request)
    assert not plain.finish.HasField("receipt")
    assert plain.token_ids == asked.token_ids


def test_commands_show_and_keep_them(demo: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    flags = ("--server", demo.grpc, "--receipt", "--save", path)
    told = attendant("generate", "Where is my order?", "--model", "demo", "--temperature", 1, *flags)
    assert told.returncode == 0, told.stderr
    assert attendant("classify", "good", "bad", *flags).returncode == 0
    assert attendant("translate", "the dog", "the cat", *flags).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    calls = [KeptCall.parse(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [call.call for call in calls] == ["generate", "classify", "generate", "generate"]
    (receipt,) = calls[0].receipts
    assert receipt.digest == digest_of(receipt)
    assert f"receipt   {receipt.digest}" in told.stderr
    assert calls[0].responses[0].text == told.stdout.rstrip("\n")
    broken = attendant("generate", "x", "--model", "demo", "--server", demo.grpc, "--save", tmp_path)
    assert broken.returncode == 1
    assert "cannot be written" in broken.stderr
