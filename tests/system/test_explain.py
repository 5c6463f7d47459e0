"""Explain over the wire, by a real server of the demo models."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from attendant.client.attention import read_attention
from attendant_proto.v1 import explain_pb2 as pb
from attendant_proto.v1 import explain_pb2_grpc, generation_pb2, models_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.system.server import HANGS_S, ServerProcess, eventually, serving
from tests.traces.collector import collecting

CHAT = generation_pb2.Chat(messages=[generation_pb2.ChatMessage(role="user", content="Where is my order 48213?")])
LOOK = pb.AttentionRequest(model="demo", subject=pb.Subject(chat=CHAT), answer=pb.ExplainedAnswer(max_tokens=6))


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(log, "--demo", "--explain.max-weights", 50_000, "--engine.threads", 1) as running:
        yield running


@pytest.fixture(scope="module")
def explain(demos: ServerProcess) -> Any:
    return explain_pb2_grpc.ExplainStub(demos.channel)  # type: ignore[no-untyped-call]


def failure(call: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        list(call) if hasattr(call, "__iter__") else call()
    return caught.value


def test_models_say_what_they_give(demos: ServerProcess) -> None:
    listed = demos.models.ListModels(models_pb2.ListModelsRequest()).models
    assert {model.name for model in listed if "attention" in model.capabilities} == {
        *("demo", "translator", "sentiment", "shapes")
    }
    assert demos.serving("attendant.v1.Explain")


def test_attention_comes_layer_by_layer(explain: Any) -> None:
    responses = list(explain.Attention(LOOK, timeout=HANGS_S))
    assert [response.WhichOneof("part") for response in responses] == ["header", *["weights"] * 4, "end"]
    answer = read_attention(responses)
    assert answer.header.answer == "Thank you for your message."
    for layer in answer.layers:
        assert layer.weights.shape == (8, len(answer.header.queries), len(answer.header.keys))
        assert np.allclose(layer.weights.sum(axis=-1), 1, atol=1e-5)


def test_what_an_answer_hung_on(explain: Any) -> None:
    request = pb.AttributeRequest(model="translator", subject=pb.Subject(text="Where is the station?"))
    found = explain.Attribute(request, timeout=HANGS_S)
    assert found.answer == "Où est la gare ?"
    weights = {part.text: part.weight for part in found.parts}
    assert list(weights) == ["Where", "is", "the", "station?"]
    assert weights["station?"] > weights["the"]


def test_words_in_contexts(explain: Any) -> None:
    contexts = [
        pb.WordInContext(text=text, word="film") for text in ("A lovely film.", "A dull film.", "A lovely film.")
    ]
    found = explain.Similarity(pb.SimilarityRequest(model="sentiment", contexts=contexts), timeout=HANGS_S)
    cosines = np.array(found.cosines).reshape(3, 3)
    assert np.allclose(np.diag(cosines), 1)
    assert cosines[0, 2] == pytest.approx(1)
    assert cosines[0, 1] < 1


def test_errors_name_the_field(explain: Any) -> None:
    many = pb.AttentionRequest(model="demo", subject=pb.Subject(chat=CHAT), answer=pb.ExplainedAnswer(max_tokens=40))
    error = failure(explain.Attention(many, timeout=HANGS_S))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(error)
    assert status is not None
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert bad.field_violations[0].field == "subject"
    assert "at most 50,000 (explain.max_weights)" in bad.field_violations[0].description
    nobody = pb.AttentionRequest(model="nobody", subject=pb.Subject(chat=CHAT))
    assert failure(explain.Attention(nobody, timeout=HANGS_S)).code() is grpc.StatusCode.NOT_FOUND
    late = failure(explain.Attention(LOOK, timeout=0.001))
    # refused at once, if it is known by now how long an answer takes
    assert late.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_callers_that_go_away_leave_nothing_behind(demos: ServerProcess, explain: Any) -> None:
    request = pb.AttributeRequest(
        model="demo",
        subject=pb.Subject(chat=CHAT),
        answer=pb.ExplainedAnswer(token_ids=generation_pb2.TokenIds(ids=[17] * 400)),
    )
    with ThreadPoolExecutor(4) as pool:
        calls = [explain.Attribute.future(request, timeout=HANGS_S) for _ in range(4)]
        eventually(lambda: not demos.is_idle())
        list(pool.map(lambda call: call.cancel(), calls))
    eventually(demos.is_idle)
    assert list(explain.Attention(LOOK, timeout=HANGS_S))
    found = demos.metrics()
    assert found["explain_requests_total{kind=attribute,outcome=cancelled}"] >= 1
    assert found["explain_run_seconds_total"] > 0


def test_calls_that_explain_are_followed(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        serving(tmp_path / "log", "--demo", "--traces.enabled", "--traces.endpoint", collector.endpoint) as server,
    ):
        stub = explain_pb2_grpc.ExplainStub(server.channel)  # type: ignore[no-untyped-call]
        list(stub.Attention(LOOK, timeout=HANGS_S))
        stub.Attribute(
            pb.AttributeRequest(model="sentiment", subject=pb.Subject(text="a good day"), label=""), timeout=HANGS_S
        )
        server.terminate()
        assert server.wait() == 0
    looked, hung = collector.named("attention demo"), collector.named("attribute sentiment")
    assert [span.name for span in collector.parts(looked)] == ["look", "compute"]
    look, compute = collector.parts(looked)
    assert "generate" in {span.name for span in collector.parts(look)}
    assert [span.name for span in collector.parts(compute)] == ["queue", "run"]
    assert (looked.attributes["gen_ai.operation.name"], looked.status) == ("attention", "UNSET")
    assert {"admission", "queue", "run"} <= {span.name for span in collector.parts(hung)}
