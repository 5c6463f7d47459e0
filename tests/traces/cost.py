"""`python -m tests.traces.cost [BUNDLE]` measures what following calls costs, of the demo server without a bundle."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import psutil
from attendant.core.context import CallContext
from attendant.core.stages import Arrival, CallEnd, Trail
from attendant.metrics import Metrics
from attendant.settings import TracesSettings
from attendant.traces.spans import Spans
from attendant.traces.tracer import SpanTracer
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.system.server import ServerProcess, serving, tokens_of

STREAMS, REQUESTS, TOKENS, ROUNDS = 8, 24, 48, 9
GAPS = 5
"""Of a call's TOKENS, those that come after a longer gap than all before: the sum of 1/k, if gaps are drawn by lot."""
WAYS = {
    "off": (),
    "ratio 1": ("--traces.ratio", 1),
    "slow only": ("--traces.ratio", 0, "--traces.slow-s", 60),
}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class _Swallow(grpc.GenericRpcHandler):
    """A collector that reads nothing, so that it takes no processor from the server beside it."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"") if details.method == EXPORT else None


class _Encoder(SpanExporter):
    """Makes what would be sent."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def tell_work(calls: int = 500) -> None:
    """Prints the processor time of what a call with ten spans and TOKENS tokens costs, part by part."""
    metrics = Metrics()
    metrics.add_model("m")
    tracer = SpanTracer(TracesSettings(enabled=True), metrics.traces, {}, _Encoder())
    trails = [_trail(tracer) for _ in range(50)]  # warms it
    begin_ns = time.thread_time_ns()
    trails = [_trail(tracer) for _ in range(calls)]
    noted_ns = time.thread_time_ns() - begin_ns
    spans = Spans(Resource({}), {})
    begin_ns = time.thread_time_ns()
    for first in range(0, calls, 50):
        _Encoder().export([span for trail in trails[first : first + 50] for span in spans.of(trail)])
    sent_ns = time.thread_time_ns() - begin_ns
    tokens_ns = []
    for exemplar in (None, {"trace_id": trails[0].trace_id, "span_id": trails[0].span_id}):
        begin_ns = time.thread_time_ns()
        for _ in range(calls * GAPS):
            metrics.next_token("m", 0.004, exemplar)
        tokens_ns.append(time.thread_time_ns() - begin_ns)
    per_call = [ns / calls / 1000 for ns in (noted_ns, sent_ns, tokens_ns[1] - tokens_ns[0])]
    print("microseconds a call: noting {:.0f}; if kept, spans {:.0f} and exemplars {:.1f}".format(*per_call))


def _trail(tracer: SpanTracer) -> Trail:
    """What a conversation leaves."""
    context = tracer.begin(
        CallContext.new(client="ipv4:127.0.0.1:5000"), Arrival("grpc", "attendant.v1.Generation/Generate")
    )
    now_ns = context.arrival_ns
    context.stage.add("receive", now_ns, now_ns + 1, request_bytes=100)
    with context.stage.begin("chat", operation="chat", requested_model="m", response_id="x", stream=True) as stage:
        for name in ("tokenise", "admission"):
            with stage.begin(name) as part:
                part.note(num_tokens=5)
        stage.note(model="m", max_tokens=TOKENS, temperature=0.0, top_p=1.0, first_chunk_s=0.1)
        stage.note(finish_reasons=("length",), prompt_tokens=9, cached_tokens=0, completion_tokens=TOKENS)
        stage.add("queue", now_ns, now_ns + 1)
        prefill = stage.add("prefill", now_ns, now_ns + 1, reused_tokens=0)
        prefill.add("chunk", now_ns, now_ns + 1, start=0, num_tokens=9)
        stage.add("decode", now_ns, now_ns + 1, num_tokens=TOKENS)
        stage.add("detokenise", now_ns, now_ns + 1, busy_s=0.001)
    trail = context.stage.trail
    assert trail is not None
    trail.close(CallEnd("OK"))
    return trail


def main(arguments: Sequence[str]) -> None:
    tell_work()
    collector = grpc.server(ThreadPoolExecutor(2), handlers=[_Swallow()])
    endpoint = f"http://127.0.0.1:{collector.add_insecure_port('127.0.0.1:0')}"
    collector.start()
    bundles = tuple(arguments) or ("--demo",)
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {}
        for way, flags in WAYS.items():
            on = ("--traces.enabled", "--traces.endpoint", endpoint, *flags) if flags else ()
            log = Path(folder) / way.replace(" ", "-")
            servers[way] = stack.enter_context(serving(log, *bundles, *on, "--no-engine.spinning"))
            round_of(servers[way])  # warms it
        order = list(WAYS)
        for number in range(ROUNDS):
            for way in order[number % 3 :] + order[: number % 3]:
                measured[way].append(round_of(servers[way]))
    collector.stop(0)
    for way, values in measured.items():
        speeds, costs = zip(*values, strict=True)
        print(f"{way}: {statistics.median(speeds):.1f} tokens/s, {statistics.median(costs):.2f} ms of processor a call")
    for way in list(WAYS)[1:]:
        pairs = list(zip(measured[way], measured["off"], strict=True))
        speed = statistics.median(one[0] / off[0] for one, off in pairs)
        cost = statistics.median(one[1] / off[1] for one, off in pairs)
        print(f"{way} against off, median of {ROUNDS} ratios: tokens/s {speed:.4f}, processor time {cost:.4f}")


def round_of(server: ServerProcess) -> tuple[float, float]:
    """Tokens a second of STREAMS callers, and milliseconds of the server's processor time for each of their calls."""
    models = server.models.ListModels(models_pb2.ListModelsRequest()).models
    name = next(model.name for model in models if "generate" in model.capabilities)
    stopping = pb.Stopping(max_tokens=TOKENS, ignore_eos=True)

    def call(number: int) -> int:
        asked = pb.GenerateRequest(model=name, text=f"{number} A question about an order", stopping=stopping)
        return len(tokens_of(server.generation.Generate(asked, timeout=300)))

    process = psutil.Process(server.process.pid)
    before, begin = process.cpu_times(), time.monotonic()
    with ThreadPoolExecutor(STREAMS) as callers:
        tokens = sum(callers.map(call, range(REQUESTS)))
    took = time.monotonic() - begin
    time.sleep(1.2)  # the last spans leave
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return tokens / took, 1000 * spent / REQUESTS


if __name__ == "__main__":
    main(sys.argv[1:])
