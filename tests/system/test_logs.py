"""The log of a real server: one line for each request, by whatever protocol it came, with the numbers of its answer."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from attendant_proto.openinference import inference_pb2 as oip
from attendant_proto.openinference import inference_pb2_grpc
from attendant_proto.tei import tei_pb2, tei_pb2_grpc
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc, explain_pb2, explain_pb2_grpc, generation_pb2, models_pb2
from attendant_proto.vllm import engine_pb2, engine_pb2_grpc

from tests.security.authority import row
from tests.synthetic import make_slow_bundle
from tests.synthetic_encoder import make_audio_encoder, make_text_encoder
from tests.system.encoders import png, texts
from tests.system.logged import line_of, lines, lines_of, named, picked, post
from tests.system.server import HANGS_S, LONG, ServerProcess, environment, eventually, request, serving

POISON = 200
SECRET = "a-word-that-is-nobodys"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
QUIET = ("--engine.threads", 1, "--encoder.threads", 1, "--no-admission.predict")


@pytest.fixture(scope="module")
def extra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logged")
    make_slow_bundle(folder / "slow", poison_token=POISON)
    make_text_encoder(folder / "vectors", "embed")
    make_text_encoder(folder / "ranks", "rerank", labels=("fits",))
    make_audio_encoder(folder / "words")
    return folder


@pytest.fixture(scope="module")
def server(extra: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    flags = ("--logs.format", "json", "--vllm-engine", "0=demo", "--engine.max-queue", 2, "--engine.max-num-seqs", 4)
    with serving(tmp_path_factory.mktemp("log") / "log", extra, "--demo", *flags, *QUIET) as running:
        yield running
        running.terminate()
        assert running.wait() == 0
    assert {line["level"] for line in lines(running)} <= {"info", "warning", "error"}  # every line of it can be read


@pytest.fixture(scope="module")
def encoding(server: ServerProcess) -> Any:
    return encoding_pb2_grpc.EncodingStub(server.channel)


@pytest.fixture(scope="module")
def inference(server: ServerProcess) -> Any:
    return inference_pb2_grpc.GRPCInferenceServiceStub(server.channel)  # type: ignore[no-untyped-call]


def test_generation(server: ServerProcess) -> None:
    who = named("g1", traceparent=f"00-{TRACE}-{SPAN}-01", **{"x-llm-d-inference-fairness-id": "team-a"})
    asked = request("hello", 6, n=2, priority=7, model="demo")
    parts = [*server.generation.Generate(asked, metadata=who)]
    first, second = (part.finish for part in sorted(parts, key=lambda part: part.index) if part.HasField("finish"))
    line = line_of(server, "g1")
    assert picked(line, "prompt_tokens", "cached_tokens", "completion_tokens") == (
        *(first.usage.prompt_tokens, first.usage.cached_tokens),
        first.usage.completion_tokens + second.usage.completion_tokens,
    )
    assert picked(line, "protocol", "method") == ("grpc", "attendant.v1.Generation/Generate")
    assert picked(line, "model", "version", "n", "stream", "priority") == ("demo", "1", 2, True, 7)
    assert picked(line, "tenant", "trace_id", "finish_reasons") == ("team-a", TRACE, ["length"])
    assert picked(line, "level", "message", "outcome", "code") == ("info", "request", "ok", "OK")
    assert line["client"].startswith("ipv4:127.0.0.1:")
    assert line["queue_ms"] == pytest.approx(first.timings.queue_s * 1e3, abs=0.002)
    assert line["first_token_ms"] == pytest.approx(first.timings.first_token_s * 1e3, abs=0.002)
    assert not {"error", "prompt", "answers", "span_id", "caller", "preemptions"} & {*line}


def test_encoding(server: ServerProcess, encoding: Any) -> None:
    found = encoding.Classify(pb.ClassifyRequest(inputs=texts("good", "bad"), model="sentiment"), metadata=named("e1"))
    line = line_of(server, "e1")
    assert picked(line, "model", "prompt_tokens", "rows") == ("sentiment", found.usage.num_tokens, 2)
    assert line["queue_ms"] == pytest.approx(found.usage.queue_s * 1e3, abs=0.002)
    encoding.ClassifyImage(pb.ClassifyImageRequest(images=[png((9, 9, 9), (32, 32))] * 3), metadata=named("e2"))
    assert picked(line_of(server, "e2"), "model", "images", "rows", "prompt_tokens") == ("shapes", 3, 3, None)
    sound = pb.AudioInput(samples=np.zeros(1600, "<f4").tobytes(), sampling_rate=16_000)
    encoding.Transcribe(pb.TranscribeRequest(inputs=[sound, sound], model="words"), metadata=named("e3"))
    assert picked(line_of(server, "e3"), "model", "audio_s", "rows") == ("words", 0.2, 2)


def test_each_request_of_a_stream(server: ServerProcess, encoding: Any) -> None:
    asked = [
        pb.EncodingRequest(id="first", classify=pb.ClassifyRequest(inputs=texts("good"), model="sentiment")),
        pb.EncodingRequest(id="second", embed=pb.EmbedRequest(inputs=texts("good"), model="nobody")),
    ]
    assert len(list(encoding.Stream(iter(asked), metadata=named("s1"), timeout=HANGS_S))) == 2
    found = {line.get("part"): line for line in lines_of(server, "s1", 3)}
    assert picked(found["first"], "message", "model", "outcome", "rows") == ("request", "sentiment", "ok", 1)
    assert picked(found["second"], "message", "model", "outcome", "code", "error") == (
        *("request", "nobody", "refused"),
        *("NOT_FOUND", "ModelNotFound"),
    )
    assert picked(found[None], "message", "requests", "outcome", "rows") == ("stream", 2, "ok", None)


def test_explaining(server: ServerProcess) -> None:
    explain = explain_pb2_grpc.ExplainStub(server.channel)  # type: ignore[no-untyped-call]
    subject = explain_pb2.Subject(text="A good film")
    explain.Attribute(explain_pb2.AttributeRequest(model="sentiment", subject=subject), metadata=named("x1"))
    line = line_of(server, "x1")
    assert picked(line, "method", "model", "outcome") == ("attendant.v1.Explain/Attribute", "sentiment", "ok")
    assert line["rows"] > 1


def infer(model: str, call_id: str = "") -> oip.ModelInferRequest:
    asked = oip.ModelInferRequest(model_name=model, id=call_id)
    tensor = asked.inputs.add(name="text_input" if model == "demo" else "text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"hello")
    if model == "demo":
        told = asked.inputs.add(name="sampling_parameters", datatype="BYTES", shape=[1])
        told.contents.bytes_contents.append(b'{"max_tokens": 3}')
    return asked


def test_the_open_inference_protocol(server: ServerProcess, inference: Any) -> None:
    inference.ModelInfer(infer("demo"), metadata=named("o1"), timeout=HANGS_S)
    line = line_of(server, "o1")
    assert picked(line, "method", "model") == ("inference.GRPCInferenceService/ModelInfer", "demo")
    assert picked(line, "completion_tokens", "stream", "outcome") == (3, False, "ok")
    asked = [infer("sentiment", "first"), infer("nobody", "second")]
    list(inference.ModelStreamInfer(iter(asked), metadata=named("o2"), timeout=HANGS_S))
    found = {line.get("part"): line for line in lines_of(server, "o2", 3)}
    assert picked(found["first"], "model", "outcome", "rows") == ("sentiment", "ok", 1)
    assert picked(found["second"], "outcome", "error") == ("refused", "ModelNotFound")
    assert picked(found[None], "message", "requests", "outcome") == ("stream", 2, "ok")
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hello"]}]}
    assert post(server, "/v2/models/sentiment/infer", body, "o3")[0] == 200
    line = line_of(server, "o3")
    assert picked(line, "method", "model", "rows") == ("POST /v2/models/{model:path}/infer", "sentiment", 1)


def test_gateways_and_teis_clients(server: ServerProcess) -> None:
    address = re.findall(r"VllmEngine of demo on ([^\s\"]+)", "".join(server.output))[0]
    params = engine_pb2.SamplingParams(temperature=0.0, max_tokens=4)
    asked = engine_pb2.GenerateRequest(text="hello", stream=True, sampling_params=params)
    with grpc.insecure_channel(address) as channel:
        *_, last = engine_pb2_grpc.VllmEngineStub(channel).Generate(asked, metadata=named("v1"))  # type: ignore[no-untyped-call]
    line = line_of(server, "v1")
    assert picked(line, "method", "model") == ("vllm.grpc.engine.VllmEngine/Generate", "demo")
    assert picked(line, "prompt_tokens", "completion_tokens") == (last.complete.prompt_tokens, 4)
    stub = tei_pb2_grpc.EmbedStub(server.channel)  # type: ignore[no-untyped-call]
    found = stub.Embed(tei_pb2.EmbedRequest(inputs="hello"), metadata=named("t1", model="vectors"))
    line = line_of(server, "t1")
    assert picked(line, "method", "model") == ("tei.v1.Embed/Embed", "vectors")
    assert line["prompt_tokens"] == found.metadata.compute_tokens


def test_over_http(server: ServerProcess) -> None:
    said = [{"role": "user", "content": "Where is my order?"}]
    chat = {"model": "demo", "messages": said, "max_tokens": 5}
    usage = json.loads(post(server, "/v1/chat/completions", chat, "h1")[1])["usage"]
    line = line_of(server, "h1")
    assert picked(line, "protocol", "method", "code") == ("http", "POST /v1/chat/completions", "200")
    assert picked(line, "prompt_tokens", "completion_tokens") == (usage["prompt_tokens"], usage["completion_tokens"])
    assert line["stream"] is False
    assert post(server, "/v1/chat/completions", {**chat, "stream": True}, "h2")[0] == 200
    assert picked(line_of(server, "h2"), "stream", "completion_tokens", "outcome") == (True, 5, "ok")
    several = {"model": "demo", "prompt": ["one", "two", "three"], "max_tokens": 4, "n": 2}
    usage = json.loads(post(server, "/v1/completions", several, "h3")[1])["usage"]
    line = line_of(server, "h3")
    assert picked(line, "n", "prompt_tokens", "completion_tokens") == (6, usage["prompt_tokens"], 24)
    body = {"model": "demo", "messages": said, "max_tokens": 3}
    usage = json.loads(post(server, "/v1/messages", body, "h4")[1])["usage"]
    line = line_of(server, "h4")
    assert picked(line, "method", "completion_tokens") == ("POST /v1/messages", usage["output_tokens"])
    usage = json.loads(post(server, "/v1/embeddings", {"model": "vectors", "input": "hello"}, "h5")[1])["usage"]
    assert picked(line_of(server, "h5"), "model", "prompt_tokens") == ("vectors", usage["prompt_tokens"])
    body = {"model": "ranks", "query": "a", "documents": ["b", "c"]}
    assert post(server, "/v2/rerank", body, "h6")[0] == 200
    assert picked(line_of(server, "h6"), "method", "model", "rows") == ("POST /v2/rerank", "ranks", 2)


def ended(call: Any) -> grpc.StatusCode:
    """With what a call ends that has no answer."""
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    return caught.value.code()


def test_a_request_that_failed(server: ServerProcess) -> None:
    poisoned = generation_pb2.GenerateRequest(token_ids=generation_pb2.TokenIds(ids=[POISON, 10, 10]), model="slow")
    assert ended(server.generation.Generate(poisoned, metadata=named("f1"))) is grpc.StatusCode.INTERNAL
    line = line_of(server, "f1")
    assert picked(line, "level", "outcome", "code", "error") == ("warning", "failed", "INTERNAL", "StepFailed")
    assert picked(line, "model", "prompt_tokens", "completion_tokens") == ("slow", 3, 0)
    late = server.generation.Generate(request("hello", LONG, model="slow"), timeout=0.3, metadata=named("f2"))
    assert ended(late) is grpc.StatusCode.DEADLINE_EXCEEDED
    line = line_of(server, "f2")
    assert picked(line, "outcome", "code") == ("failed", "DEADLINE_EXCEEDED")
    body = {"model": "slow", "prompt": [POISON, 10, 10], "max_tokens": 3, "stream": True}
    post(server, "/v1/completions", body, "f3")
    assert picked(line_of(server, "f3"), "outcome", "code", "error") == ("failed", "500", "StepFailed")


def test_a_request_that_was_left(server: ServerProcess) -> None:
    call = server.generation.Generate(request("hello", LONG, model="slow"), metadata=named("c1"))
    seen = len(next(call).token_ids)
    call.cancel()
    line = line_of(server, "c1")
    assert picked(line, "outcome", "code", "finish_reasons") == ("cancelled", "CANCELLED", ["cancelled"])
    assert seen <= line["completion_tokens"] < LONG  # all that was made for it, also what it never got
    assert line["level"] == "info"


def test_a_request_that_was_refused(server: ServerProcess, encoding: Any) -> None:
    assert ended(server.generation.Generate(request("hello", 5, model="demo", n=99_999), metadata=named("r1"))) is (
        grpc.StatusCode.INVALID_ARGUMENT
    )
    assert picked(line_of(server, "r1"), "outcome", "code", "error") == (
        *("refused", "INVALID_ARGUMENT", "InvalidRequest"),
    )
    forged = 'nobody\n{"logger": "attendant.requests", "request_id": "forged"}'
    assert post(server, "/v1/embeddings", {"model": forged, "input": "hello"}, "r2")[0] == 404
    assert picked(line_of(server, "r2"), "model", "code", "error") == (forged, "404", "ModelNotFound")
    assert not [line for line in lines(server) if line.get("request_id") == "forged"]
    running = [server.generation.Generate(request("hello", LONG, model="slow")) for _ in range(4 + 2)]
    eventually(lambda: server.metrics()["num_requests_waiting"] == 2)
    full = server.generation.Generate(request("hello", 5, model="slow"), metadata=named("r3"))
    assert ended(full) is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in running:
        call.cancel()
    assert picked(line_of(server, "r3"), "outcome", "code", "error", "model") == (
        *("refused", "RESOURCE_EXHAUSTED", "QueueFull", "slow"),
    )
    post(server, "/v1/chat/completions", "no object", "r4")
    assert picked(line_of(server, "r4"), "outcome", "code", "error") == ("refused", "400", "InvalidRequest")


def test_who_only_asks_how_the_server_is_leaves_no_line(server: ServerProcess, inference: Any) -> None:
    server.healthz()
    server.page()
    assert server.serving()
    inference.ServerReady(oip.ServerReadyRequest(), metadata=named("q1"))
    inference.ModelReady(oip.ModelReadyRequest(name="demo"), metadata=named("q2"))
    server.models.ListModels(models_pb2.ListModelsRequest(), metadata=named("q3"))
    assert line_of(server, "q3")["method"] == "attendant.v1.Models/ListModels"  # so those before had their time
    told = [line for line in lines(server) if line["logger"] == "attendant.requests"]
    assert not [line for line in told if line["request_id"] in ("q1", "q2") or "ealth" in line["method"]]
    assert not [line for line in told if "GET" in line["method"]]


def test_nothing_that_callers_send_or_get_stands_in_it(server: ServerProcess, encoding: Any) -> None:
    said = [{"role": "user", "content": SECRET}]
    post(server, "/v1/chat/completions", {"model": "demo", "messages": said, "max_tokens": 3, "stop": SECRET}, "n1")
    list(server.generation.Generate(request(SECRET, 3, model="demo"), metadata=named("n2")))
    encoding.Classify(pb.ClassifyRequest(inputs=texts(SECRET), model="sentiment"), metadata=named("n3"))
    with pytest.raises(grpc.RpcError):
        encoding.Classify(pb.ClassifyRequest(inputs=texts(SECRET * 500), model="sentiment"), metadata=named("n4"))
    for name in ("n1", "n2", "n3", "n4"):
        line_of(server, name)
    assert SECRET not in server.log()


def test_texts_a_share_and_lines_for_people(extra: Path, tmp_path: Path) -> None:
    (tmp_path / "callers.yaml").write_text(row("team-a", "t1"))
    flags = ("--logs.texts", "--logs.max-text", 12, "--logs.requests-share", 0.3, "--auth.tokens")
    with serving(tmp_path / "log", "--demo", *flags, tmp_path / "callers.yaml", *QUIET) as server:
        known = {"authorization": "Bearer t1"}
        for number in range(60):
            asked = request(f"number {number}\nof many", 2, model="demo")
            list(server.generation.Generate(asked, metadata=named(f"id-{number}", **known)))
        said = [{"role": "user", "content": "hi"}]
        body = {"model": "nobody", "messages": said, "max_tokens": 3}
        assert post(server, "/v1/chat/completions", body, "stranger")[0] == 401
        assert post(server, "/v1/chat/completions", body, "wrong", **known)[0] == 404
        list_models = server.models.ListModels
        with pytest.raises(grpc.RpcError):
            list_models(models_pb2.ListModelsRequest(), metadata=named("unknown"))
        server.terminate()
        assert server.wait() == 0  # after which everything has been written
    told = [line for line in server.log().splitlines() if " attendant.requests: " in line]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING) ", line) for line in told)
    chosen = [line for line in told if "[id-" in line]
    assert 5 <= len(chosen) <= 35  # which of them is certain
    assert all(
        re.search(r' caller=team-a tenant=team-a .* prompt="number \d+\\n[of ]*" answers=', line) for line in chosen
    )
    for name, code, error in (
        ("stranger", "401", "Unauthenticated"),
        ("wrong", "404", "ModelNotFound"),
        ("unknown", "UNAUTHENTICATED", "Unauthenticated"),
    ):
        (line,) = [line for line in told if f"[{name}] " in line]
        assert f" outcome=refused code={code} error={error}" in line


@pytest.mark.parametrize("closed", [False, True])
def test_a_log_that_nobody_reads_holds_up_no_call(fast: Path, tmp_path: Path, closed: bool) -> None:
    """A pipe is full after some lines; one whose reader has gone takes none."""
    reader, target = os.pipe()
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4096)
    words = ("-m", "attendant", "serve", fast, "--grpc.port", 0, "--http.port", 0, "--drain-timeout-s", HANGS_S)
    command = [sys.executable, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=target, text=True, env=environment())
    os.close(target)
    (tmp_path / "log").touch()
    server = ServerProcess(process, tmp_path / "log")
    try:
        if closed:
            os.close(reader)
        for _ in range(40):
            list(server.generation.Generate(request("hello", 1), metadata=named("x" * 128), timeout=HANGS_S))
        server.terminate()
        assert server.wait() == 0
    finally:
        server.close()
        if not closed:
            os.close(reader)


def test_the_last_lines_are_written(slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", slow, "--logs.format", "json", "--drain-timeout-s", HANGS_S) as server:
        call = server.generation.Generate(request("hello", LONG))
        next(call)
        for number in (signal.SIGTERM, signal.SIGTERM):
            server.terminate(number)
            eventually(lambda: "draining" in server.log())
        assert server.wait() == 128 + signal.SIGTERM
    *_, last = lines(server)
    assert last["message"] == "SIGTERM: leaving at once"


def test_a_server_that_cannot_start_says_so_as_its_log_is_written(tmp_path: Path) -> None:
    words = ("-m", "attendant", "serve", tmp_path, "--strict", "--logs.format", "json", "--grpc.port", 0)
    command = [sys.executable, *map(str, words)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=HANGS_S, check=False)
    told = [json.loads(line) for line in found.stderr.splitlines()]
    assert (found.returncode, told[-1]["level"]) == (2, "critical")
    assert str(tmp_path) in told[-1]["message"]
