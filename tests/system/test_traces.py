"""Traces of a real server at a real collector: what calls of every kind leave, and what nobody pays who wants none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import pytest
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as generation
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.synthetic import make_slow_bundle
from tests.synthetic_encoder import make_image_encoder, make_text_encoder
from tests.system.encoders import png, texts
from tests.system.server import LONG, ServerProcess, environment, eventually, request, serving, tokens_of
from tests.traces.collector import Collector, Seen, collecting

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
METHOD = "attendant.v1.Generation/Generate"
TOKEN_BUDGET = 64  # of a step: prompts that are longer come in chunks


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traced")
    make_slow_bundle(folder / "slow")
    make_text_encoder(folder / "moods", "classify", max_tokens=64)
    make_image_encoder(folder / "images")
    return folder


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def traced(bundles: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that keeps what its callers keep, and what failed."""
    flags = ("--traces.enabled", "--traces.ratio", 0, "--traces.endpoint", collector.endpoint, "--traces.text")
    engine = ("--engine.max-num-seqs", 2, "--engine.max-num-batched-tokens", TOKEN_BUDGET, "--no-engine.spinning")
    words = ("--traces.max-text", 10, "--log-level", "debug", "--no-admission.predict")  # deadlines end running calls
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(log, bundles, *flags, *engine, *words) as server:
        yield server


@pytest.fixture(scope="module")
def encoding(traced: ServerProcess) -> Any:
    return encoding_pb2_grpc.EncodingStub(traced.channel)


def header(number: int, *, sampled: bool = True) -> tuple[tuple[str, str], ...]:
    """Metadata of a call that is a part of a trace of its own."""
    return (("traceparent", f"00-{number:032x}-{SPAN}-{'01' if sampled else '00'}"), ("tracestate", "vendor=1"))


def trace_of(collector: Collector, number: int) -> list[Seen]:
    """The spans of that trace, once its server's is there; a call's spans come together, the server's first."""
    eventually(lambda: any(s.trace_id == f"{number:032x}" and s.kind == "SERVER" for s in tuple(collector.spans)))
    return [span for span in collector.spans if span.trace_id == f"{number:032x}"]


def below(spans: list[Seen], above: Seen) -> list[str]:
    """Names of its parts, in the order that they begin."""
    return [s.name for s in sorted(spans, key=lambda s: s.begin_ns) if s.parent_id == above.span_id]


def named(spans: list[Seen], name: str) -> Seen:
    (found,) = [span for span in spans if span.name == name]
    return found


def test_a_generation(traced: ServerProcess, collector: Collector) -> None:
    asked = request("hello world" * 15, max_tokens=4, model="slow")
    call = traced.generation.Generate(asked, metadata=header(1))
    assert len(tokens_of(call)) == 4
    assert dict(call.trailing_metadata())["x-trace-id"] == f"{1:032x}"
    spans = trace_of(collector, 1)
    server, model, prefill = named(spans, METHOD), named(spans, "text_completion slow"), named(spans, "prefill")
    assert (server.parent_id, server.state, server.kind, server.status) == (SPAN, "vendor=1", "SERVER", "UNSET")
    host, _, port = traced.grpc.partition(":")
    assert {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "rpc.response.status_code": "OK",
        "server.address": host,
        "server.port": int(port),
        "network.peer.address": "127.0.0.1",
        "attendant.request_id": dict(call.trailing_metadata())["x-request-id"],
    }.items() <= server.attributes.items()
    assert below(spans, server) == ["receive", "text_completion slow"]
    assert below(spans, model) == ["tokenise", "admission", "queue", "prefill", "decode", "detokenise"]
    assert {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "attendant",
        "gen_ai.request.model": "slow",
        "gen_ai.response.model": "slow",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 4,
        "gen_ai.usage.input_tokens": 165,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hello worl"}]}]',
    }.items() <= model.attributes.items()
    chunks = [span for span in spans if span.name == "chunk"]
    assert sum(chunk.attributes["attendant.num_tokens"] for chunk in chunks) == 165
    assert len(chunks) >= 165 // TOKEN_BUDGET
    assert {chunk.parent_id for chunk in chunks} == {prefill.span_id}
    queue, decode = named(spans, "queue"), named(spans, "decode")
    assert queue.end_ns == prefill.begin_ns
    assert prefill.end_ns == decode.begin_ns
    for span in spans:
        assert server.begin_ns <= span.begin_ns <= span.end_ns <= server.end_ns
    assert collector.resources[0]["service.name"] == "attendant"
    assert f"trace {1:032x}] " in traced.log()


def test_several_answers_have_stages_each(traced: ServerProcess, collector: Collector) -> None:
    list(traced.generation.Generate(request(max_tokens=2, model="slow", n=2), metadata=header(2)))
    spans = trace_of(collector, 2)
    model = named(spans, "text_completion slow")
    assert below(spans, model) == ["tokenise", "admission", "sequence", "sequence"]
    assert model.attributes["gen_ai.request.choice.count"] == 2
    assert model.attributes["gen_ai.usage.output_tokens"] == 4
    sequences = [span for span in spans if span.name == "sequence"]
    assert [span.attributes["attendant.index"] for span in sequences] == [0, 1]
    for sequence in sequences:
        assert below(spans, sequence) == ["queue", "prefill", "decode", "detokenise"]


def test_a_conversation(traced: ServerProcess, collector: Collector) -> None:
    chat = generation.Chat(messages=[generation.ChatMessage(role="user", content="hi")])
    stopping = generation.Stopping(max_tokens=2)
    asked = generation.GenerateRequest(model="slow", chat=chat, stopping=stopping, whole=True)
    list(traced.generation.Generate(asked, metadata=header(3)))
    model = named(trace_of(collector, 3), "chat slow")
    assert model.attributes["gen_ai.operation.name"] == "chat"
    assert "gen_ai.request.stream" not in model.attributes


def test_a_call_that_is_cancelled_has_all_its_stages_and_they_have_ended(
    traced: ServerProcess, collector: Collector
) -> None:
    call = traced.generation.Generate(request(max_tokens=LONG, model="slow"), metadata=header(4))
    next(iter(call))
    call.cancel()
    spans = trace_of(collector, 4)
    server, model = named(spans, METHOD), named(spans, "text_completion slow")
    assert (server.attributes["rpc.response.status_code"], server.status) == ("CANCELLED", "UNSET")
    assert model.attributes["attendant.cancelled"]
    assert below(spans, model) == ["tokenise", "admission", "queue", "prefill", "decode", "detokenise"]
    assert all(span.end_ns >= span.begin_ns for span in spans)


def test_a_call_whose_time_runs_out_is_kept_whatever_its_caller_decided(
    traced: ServerProcess, collector: Collector
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(
            traced.generation.Generate(
                request(max_tokens=LONG, model="slow"), metadata=header(5, sampled=False), timeout=0.3
            )
        )
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    server = named(trace_of(collector, 5), METHOD)
    assert (server.status, server.attributes["error.type"]) == ("ERROR", "DEADLINE_EXCEEDED")


def test_calls_that_nobody_wants_to_see_leave_nothing(traced: ServerProcess, collector: Collector) -> None:
    call = traced.generation.Generate(request(max_tokens=1, model="slow"), metadata=header(6, sampled=False))
    list(call)
    assert "x-trace-id" not in dict(call.trailing_metadata())
    with pytest.raises(grpc.RpcError):  # the caller's own fault
        list(traced.generation.Generate(request(max_tokens=0, model="slow"), metadata=header(7, sampled=False)))
    list(traced.generation.Generate(request(max_tokens=1, model="slow"), metadata=header(8)))
    trace_of(collector, 8)
    assert not [span for span in collector.spans if span.trace_id in (f"{6:032x}", f"{7:032x}")]
    assert not [span for span in collector.spans if "grpc.health" in span.name or "metrics" in span.name]


def test_rows_of_several_calls_share_a_run_that_is_linked(
    encoding: Any, traced: ServerProcess, collector: Collector
) -> None:
    asked = pb.ClassifyRequest(model="moods", inputs=texts("good", "bad"))
    encoding.Classify(asked, metadata=header(9))
    spans = trace_of(collector, 9)
    model, run = named(spans, "classify moods"), named(spans, "run")
    assert below(spans, model) == ["tokenise", "tensors", "admission", "queue", "run", "results"]
    assert {"gen_ai.operation.name": "classify", "attendant.inputs": 2}.items() <= model.attributes.items()
    (link,) = run.links
    (batch,) = [span for span in collector.spans if span.span_id == link.span_id]
    assert (batch.name, batch.trace_id, batch.attributes["attendant.batch_rows"]) == ("batch moods", link.trace_id, 2)
    assert named(spans, "attendant.v1.Encoding/Classify").span_id in {link.span_id for link in batch.links}
    assert (run.begin_ns, run.end_ns) == pytest.approx((batch.begin_ns, batch.end_ns), abs=10**6)


def test_an_image_is_decoded(encoding: Any, collector: Collector) -> None:
    asked = pb.ClassifyImageRequest(model="images", images=[png((255, 0, 0))])
    encoding.ClassifyImage(asked, metadata=header(10))
    spans = trace_of(collector, 10)
    assert below(spans, named(spans, "classify_image images"))[0] == "decode files"


def test_each_call_of_a_stream_is_told_when_it_has_ended(encoding: Any, collector: Collector) -> None:
    asked = [
        pb.EncodingRequest(id=f"call-{i}", classify=pb.ClassifyRequest(model=model, inputs=texts("x")))
        for i, model in enumerate(("moods", "nobody"))
    ]
    assert len(list(encoding.Stream(iter(asked), metadata=header(11)))) == 2
    spans = trace_of(collector, 11)
    server = named(spans, "attendant.v1.Encoding/Stream")
    calls = {span.attributes["attendant.call_id"]: span for span in spans if span.name == "call"}
    assert {span.parent_id for span in calls.values()} == {server.span_id}
    assert below(spans, calls["call-0"]) == ["classify moods"]
    unknown = named(spans, "classify nobody")
    assert (unknown.attributes["error.type"], unknown.status) == ("model_not_found", "ERROR")


def test_a_figure_leads_to_its_trace(traced: ServerProcess, collector: Collector) -> None:
    list(traced.generation.Generate(request(max_tokens=3, model="slow"), metadata=header(12)))
    trace_of(collector, 12)
    accept = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4"}
    with urlopen(Request(f"{traced.http}/metrics", headers=accept), timeout=60) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        page = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(family.name, set()).add(sample.exemplar.labels["trace_id"])
    for name in (
        *("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"),
        *("request_queue_time_seconds", "encoder_queue_seconds", "encoder_compute_seconds"),
    ):
        assert found[f"attendant_{name}"] <= {span.trace_id for span in collector.spans}
    assert f"{12:032x}" in found["attendant_inter_token_latency_seconds"]


def test_a_call_by_http_is_followed_and_its_headers_are_heard(traced: ServerProcess, collector: Collector) -> None:
    headers = {"traceparent": f"00-{13:032x}-{SPAN}-01", "x-request-id": "mine"}
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{traced.http}/healthz", data=b"", headers=headers), timeout=60)
    with caught.value as answer:
        assert answer.status == 405
        assert (answer.headers["x-request-id"], answer.headers["x-trace-id"]) == ("mine", f"{13:032x}")
    server = named(trace_of(collector, 13), "POST /healthz")
    assert (server.parent_id, server.status) == (SPAN, "UNSET")
    assert {
        "http.request.method": "POST",
        "http.route": "/healthz",
        "url.path": "/healthz",
        "url.scheme": "http",
        "http.response.status_code": 405,
        "network.protocol.version": "1.1",
        "attendant.request_id": "mine",
    }.items() <= server.attributes.items()


def test_an_answer_that_the_page_streams_is_followed(traced: ServerProcess, collector: Collector) -> None:
    headers = {"traceparent": f"00-{15:032x}-{SPAN}-01", "content-type": "application/json"}
    body = json.dumps({"model": "slow", "text": "hello", "max_tokens": 3}).encode()
    with urlopen(Request(f"{traced.http}/page/generate", data=body, headers=headers), timeout=60) as answer:
        assert answer.read()
    spans = trace_of(collector, 15)
    server = named(spans, "POST /page/generate")
    assert server.attributes["http.response.status_code"] == 200
    assert "text_completion slow" in below(spans, server)
    assert server.end_ns >= max(span.end_ns for span in spans if span.name == "text_completion slow")


def test_each_prompt_of_a_streamed_completion_is_followed(traced: ServerProcess, collector: Collector) -> None:
    headers = {"traceparent": f"00-{16:032x}-{SPAN}-01", "content-type": "application/json"}
    said = {"model": "slow", "prompt": ["hello", "there"], "max_tokens": 3, "stream": True}
    asked = Request(f"{traced.http}/v1/completions", data=json.dumps(said).encode(), headers=headers)
    with urlopen(asked, timeout=60) as answer:
        assert answer.headers["x-trace-id"] == f"{16:032x}"
        assert answer.read().endswith(b"data: [DONE]\n\n")
    spans = trace_of(collector, 16)
    server = named(spans, "POST /v1/completions")
    assert server.attributes["http.response.status_code"] == 200
    assert below(spans, server).count("text_completion slow") == 2
    assert server.end_ns >= max(span.end_ns for span in spans if span.name == "text_completion slow")


def test_what_waits_is_sent_before_the_server_ends(bundles: Path, collector: Collector, tmp_path: Path) -> None:
    with serving(
        tmp_path / "log", bundles / "slow", "--traces.enabled", "--traces.endpoint", collector.endpoint
    ) as server:
        list(server.generation.Generate(request(max_tokens=1, model="slow"), metadata=header(14)))
        server.terminate()
        assert server.wait() == 0
        assert "WARNING" not in server.log()
    model = named(trace_of(collector, 14), "text_completion slow")
    assert "gen_ai.input.messages" not in model.attributes  # nobody asked for text


def test_who_wants_no_traces_has_no_library_and_no_thread() -> None:
    code = (
        "import sys, threading; from attendant.app import Application; from attendant.settings import ServeSettings;"
        "Application(ServeSettings());"
        "print([m for m in sys.modules if 'opentelemetry' in m], 'traces' in {t.name for t in threading.enumerate()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.split("\n")[0] == "[] False"
