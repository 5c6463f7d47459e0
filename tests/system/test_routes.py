"""A server with routes: what callers of every protocol, health and the command line see of them, and SIGHUP."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from attendant_proto.openinference import inference_pb2 as oip
from attendant_proto.openinference import inference_pb2_grpc
from attendant_proto.tei import tei_pb2, tei_pb2_grpc
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, models_pb2

from tests.frontend.routes.helpers import example
from tests.system.server import HANGS_S, ServerProcess, attendant, eventually, request, serving, tokens_of

TEXT = "A lovely film."
HEALTHY = ("assistant", "assistant-next", "mood", "moods", "translated", "tone")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("routes") / "routes.yaml"
    path.write_text(example(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[ServerProcess]:
    flags = ("--engine.threads", 1, "--encoder.threads", 1)
    with serving(file.with_name("log"), "--demo", "--routes", file, *flags) as running:
        yield running


def scores(response: encoding_pb2.ClassifyResponse) -> dict[str, float]:
    return {label.label: label.score for label in response.results[0].labels}


def test_routes_are_listed_as_models(server: ServerProcess) -> None:
    models = {model.name: model for model in server.models.ListModels(models_pb2.ListModelsRequest()).models}
    routed = {name: model.route.kind for name, model in models.items() if model.HasField("route")}
    assert routed == {
        "assistant": "alias",
        "assistant-next": "canary",
        "mood": "shadow",
        "moods": "mean",
        "translated": "pipeline",
        "tone": "pipeline",
    }
    assert all(models[name].state == models_pb2.MODEL_STATE_READY for name in routed)
    assert list(models["translated"].capabilities) == ["generate", "translate"]
    assert [(t.step, t.model, t.role, t.ready) for t in models["tone"].route.targets] == [
        ("answer", "demo", "step", True),
        ("judge", "moods", "step", True),
    ]
    assert models["assistant"].maker == models["demo"].maker
    assert models["assistant"].bundle == models["demo"].bundle
    assert not models["moods"].HasField("bundle")
    assert not models["moods"].HasField("maker")
    assert server.models.GetModel(models_pb2.GetModelRequest(model="moods")) == models["moods"]
    assert all(server.serving(name) for name in HEALTHY)


def test_the_command_line_shows_them(server: ServerProcess) -> None:
    told = attendant("models", "--server", server.grpc).stdout
    assert "assistant-next is a route (canary): demo (9), demo@1 (1)" in told
    assert "mood is a route (shadow): sentiment, moods (shadow)" in told.replace("sentiment (1)", "sentiment")
    assert "tone is a route (pipeline): answer by demo, judge by moods" in told
    details = attendant("models", "-v", "--server", server.grpc).stdout
    assert "moods: classify, a route (mean), ready\n  member    sentiment (2)\n  member    sentiment@1 (1)" in details
    listed = json.loads(attendant("models", "--json", "--server", server.grpc).stdout)
    assert any(model.get("route", {}).get("kind") == "canary" for model in listed)


def test_answers_say_what_they_were_led_to(server: ServerProcess) -> None:
    *_, last = server.generation.Generate(request(model="translated", max_tokens=5), timeout=HANGS_S)
    steps = last.finish.timings.steps
    assert [(step.name, step.model) for step in steps] == [("english", "translator"), ("answer", "demo")]
    assert 0 <= steps[0].begin_s < steps[1].begin_s
    assert all(step.total_s > 0 for step in steps)
    plain = server.generation.Generate(request(model="demo", max_tokens=5), timeout=HANGS_S)
    routed = server.generation.Generate(request(model="assistant", max_tokens=5), timeout=HANGS_S)
    assert tokens_of(routed) == tokens_of(plain)
    with pytest.raises(grpc.RpcError) as caught:
        list(server.generation.Generate(request(model="moods"), timeout=HANGS_S))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "is 'moods', which is for task classify" in caught.value.details()


def test_a_key_in_the_metadata_decides(server: ServerProcess) -> None:
    def target(key: str) -> str:
        call = request(model="assistant-next", max_tokens=1)
        *_, last = server.generation.Generate(call, metadata=(("x-user-id", key),), timeout=HANGS_S)
        return str(last.finish.timings.steps[0].model)

    targets = [target(f"user {i}") for i in range(60)]
    assert set(targets) == {"demo", "demo@1"}
    assert targets.count("demo") > targets.count("demo@1")
    assert [target(f"user {i}") for i in range(60)] == targets


def test_every_protocol_has_them(server: ServerProcess) -> None:
    """A mean of models over attendant.v1, the Open Inference Protocol and tei.v1: the same to the bit of float32."""
    encoding = encoding_pb2_grpc.EncodingStub(server.channel)
    inputs = [encoding_pb2.TextInput(text=TEXT)]
    typed = encoding.Classify(encoding_pb2.ClassifyRequest(model="moods", inputs=inputs), timeout=HANGS_S)
    assert [step.model for step in typed.usage.steps] == ["sentiment", "sentiment@1"]

    stub = inference_pb2_grpc.GRPCInferenceServiceStub(server.channel)
    assert stub.ModelReady(oip.ModelReadyRequest(name="moods")).ready
    metadata = stub.ModelMetadata(oip.ModelMetadataRequest(name="moods"))
    assert metadata.name == "moods"
    asked = oip.ModelInferRequest(model_name="moods")
    tensor = asked.inputs.add(name=metadata.inputs[0].name, datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(TEXT.encode())
    answer = stub.ModelInfer(asked, timeout=HANGS_S)
    assert answer.model_name == "moods"
    assert answer.outputs

    predicted = tei_pb2_grpc.PredictStub(server.channel).Predict(
        tei_pb2.PredictRequest(inputs=TEXT), metadata=(("model", "moods"),), timeout=HANGS_S
    )
    assert {each.label: each.score for each in predicted.predictions} == pytest.approx(scores(typed))
    assert tokens_of(server.generation.Generate(request(model="assistant", max_tokens=3), timeout=HANGS_S))


def test_a_file_that_is_wrong_stops_a_server_before_it_loads(file: Path) -> None:
    wrong = file.with_name("wrong.yaml")
    wrong.write_text("routes:\n  a: {kind: alias, model: nobody}\n", encoding="utf-8")
    told = attendant("serve", "--demo", "--routes", wrong, "--grpc.port", 0, "--http.port", 0)
    assert told.returncode == 2
    assert f"{wrong}:2: routes.a.model: no model named 'nobody' is loaded" in told.stderr
    wrong.write_text("routes:\n  a: {kind: alias, model: demo, weight: 1}\n", encoding="utf-8")
    told = attendant("serve", "--demo", "--routes", wrong, "--grpc.port", 0, "--http.port", 0)
    assert told.returncode == 2
    assert f"{wrong}:2: routes.a.weight: there is no such field here" in told.stderr


def test_sighup_reads_the_file_again(server: ServerProcess, file: Path) -> None:
    """A broken file changes nothing; a good one takes the place of the old one. This comes last: it changes routes."""

    def reloads(outcome: str) -> float:
        return server.metrics()[f"routes_reloads_total{{outcome={outcome}}}"]

    file.write_text("routes: {assistant: {kind: alias, model: nobody}}", encoding="utf-8")
    server.terminate(signal.SIGHUP)
    eventually(lambda: reloads("refused") == 1)
    assert "the routes stay as they were" in server.log()
    assert "no model named 'nobody' is loaded" in server.log()
    assert tokens_of(server.generation.Generate(request(model="assistant"), timeout=HANGS_S))

    file.write_text("routes: {helper: {kind: alias, model: demo}}", encoding="utf-8")
    server.terminate(signal.SIGHUP)
    eventually(lambda: reloads("done") == 1)
    assert tokens_of(server.generation.Generate(request(model="helper"), timeout=HANGS_S))
    eventually(lambda: server.serving("helper"))
    with pytest.raises(grpc.RpcError) as caught:
        list(server.generation.Generate(request(model="assistant"), timeout=HANGS_S))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    eventually(lambda: not server.serving("moods"))
    server.terminate(signal.SIGTERM)
    assert server.wait() == 0
