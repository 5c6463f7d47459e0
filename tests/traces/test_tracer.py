"""Which calls are kept, and what their spans are: trails made by hand, seen as an exporter sees them."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import pkgutil
import time
import weakref

import pytest
from attendant.core.context import CallContext, TraceContext
from attendant.core.errors import ConfigurationError, StepFailed
from attendant.core.stages import MOST_STAGES, NOWHERE, Arrival, CallEnd, SharedRun, Trail
from attendant.metrics import Metrics
from attendant.settings import TracesSettings
from attendant.traces.names import CONVENTIONS, peer
from attendant.traces.tracer import SpanTracer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv import _incubating
from opentelemetry.semconv import attributes as stable
from opentelemetry.trace import SpanKind, StatusCode

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
S = 10**9
OK = CallEnd("OK")
FAILED = CallEnd("INTERNAL", failed=True, message="the secret of a caller")
REFUSED = CallEnd("RESOURCE_EXHAUSTED", refused=True)


class Traced:
    """A tracer, and the spans that left it."""

    def __init__(self, **settings: object) -> None:
        self.exporter = InMemorySpanExporter()
        chosen = TracesSettings(enabled=True, **settings)  # type: ignore[arg-type]
        self.tracer = SpanTracer(chosen, Metrics().traces, {"grpc": ("10.0.0.9", 50051)}, self.exporter)
        self.tracer.start()

    def begin(self, took_s: float = 0.0, trace: TraceContext | None = None, baggage: str = "") -> CallContext:
        """A call that came ``took_s`` seconds ago."""
        context = CallContext(
            "mine", time.monotonic_ns() - int(took_s * S), client="ipv4:10.0.0.1:5000", trace=trace, baggage=baggage
        )
        return self.tracer.begin(context, Arrival("grpc", "attendant.v1.Generation/Generate"))

    def call(self, how: CallEnd = OK, took_s: float = 0.0, trace: TraceContext | None = None) -> bool:
        """Whether such a call is kept."""
        return trail_of(self.begin(took_s, trace)).close(how)

    def spans(self) -> tuple[ReadableSpan, ...]:
        """All, once the thread has ended."""
        self.tracer.close()
        return self.exporter.get_finished_spans()


def trail_of(context: CallContext) -> Trail:
    assert context.stage.trail is not None
    return context.stage.trail


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the settings that the machine may have for others."""
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "how", "took_s", "kept"),
    [
        ({}, OK, 0, True),  # all, by default
        ({"ratio": 1}, OK, 0, True),
        ({"ratio": 0}, OK, 0, False),
        ({"ratio": 0}, FAILED, 0, True),
        ({"ratio": 0}, REFUSED, 0, False),
        ({"ratio": 0, "failed": "all"}, REFUSED, 0, True),
        ({"ratio": 0, "failed": "all"}, OK, 0, False),
        ({"ratio": 0, "failed": "none"}, FAILED, 0, False),
        ({"ratio": 0, "slow_s": 5}, OK, 5.1, True),
        ({"ratio": 0, "slow_s": 5000}, OK, 5.1, False),
        ({"ratio": 0}, OK, 5000, False),
    ],
)
def test_a_call_is_kept_by_lot_or_because_it_was_slow_or_failed(
    settings: dict[str, object], how: CallEnd, took_s: float, kept: bool
) -> None:
    traced = Traced(**settings)
    assert traced.call(how, took_s) is kept
    assert len(traced.spans()) == kept


@pytest.mark.parametrize("ratio", [0, 1])
@pytest.mark.parametrize("sampled", [True, False])
def test_a_caller_that_has_decided_decides(ratio: float, sampled: bool) -> None:
    traced = Traced(ratio=ratio)
    parent = TraceContext(TRACE, SPAN, sampled, "vendor=1")
    assert traced.call(OK, trace=parent) is sampled
    assert traced.call(FAILED, trace=parent)  # a failure is kept whatever it says
    for span in traced.spans():
        assert span.parent is not None
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
        assert (span.parent.is_remote, span.context.trace_state.get("vendor")) == (True, "1")


def test_the_lot_is_drawn_by_the_trace_so_that_servers_agree() -> None:
    def kept(traced: Traced) -> list[bool]:
        """Of calls of the same traces."""
        sampler = traced.tracer._sampler
        return [sampler.should_sample(None, i << 54, "x").decision.is_sampled() for i in range(1, 1000)]

    one, other = Traced(ratio=0.25), Traced(ratio=0.25)
    assert kept(one) == kept(other)
    assert 0.2 < sum(kept(one)) / 999 < 0.3
    one.spans(), other.spans()


def test_the_variable_of_samplers_counts_where_the_settings_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    silent, told = Traced(), Traced(ratio=1)
    assert (silent.call(), told.call()) == (False, True)
    silent.spans(), told.spans()


def test_the_span_of_a_call_says_what_the_conventions_ask_for() -> None:
    traced = Traced(text=True, baggage="tenant")
    context = traced.begin(baggage="tenant=blue,secret=1")
    with context.stage.begin("chat", operation="chat", requested_model="", response_id="mine") as stage:
        stage.note(model="m", max_tokens=5, finish_reasons=("stop",), text_in=("user", "hi"), text_out=("ho", "stop"))
        stage.begin("tokenise").end()
    trail_of(context).close(FAILED)
    server, chat, tokenise = traced.spans()
    assert (server.name, server.kind) == ("attendant.v1.Generation/Generate", SpanKind.SERVER)
    assert (server.status.status_code, server.status.description) == (StatusCode.ERROR, FAILED.message)
    assert dict(server.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": "attendant.v1.Generation/Generate",
        "rpc.response.status_code": "INTERNAL",
        "error.type": "INTERNAL",
        "server.address": "10.0.0.9",
        "server.port": 50051,
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 5000,
        "network.transport": "tcp",
        "attendant.request_id": "mine",
        "baggage.tenant": "blue",
    }
    assert (chat.name, chat.kind, chat.parent) == ("chat m", SpanKind.INTERNAL, server.context)
    attributes = dict(chat.attributes or {})
    assert json.loads(str(attributes.pop("gen_ai.input.messages"))) == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    ]
    assert json.loads(str(attributes.pop("gen_ai.output.messages"))) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "ho"}], "finish_reason": "stop"}
    ]
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "attendant",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.response.id": "mine",
        "gen_ai.request.max_tokens": 5,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    assert tokenise.parent == chat.context
    assert server.start_time <= chat.start_time <= tokenise.start_time <= tokenise.end_time <= chat.end_time
    assert abs(server.end_time - time.time_ns()) < 60 * S


def test_names_are_those_of_the_conventions() -> None:
    known = set()
    for package in (stable, importlib.import_module(f"{_incubating.__name__}.attributes")):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            found = vars(importlib.import_module(module.name))
            known |= {value for name, value in found.items() if name.isupper() and isinstance(value, str)}
    assert set(CONVENTIONS.values()) <= known
    assert {
        "rpc.system.name",
        "rpc.method",
        "rpc.response.status_code",
        "error.type",
        "http.response.status_code",
    } <= known
    assert {"server.address", "server.port", "network.peer.address", "network.peer.port", "network.transport"} <= known
    assert {"gen_ai.provider.name", "gen_ai.input.messages", "gen_ai.output.messages"} <= known


def test_no_text_unless_asked_for() -> None:
    traced = Traced()
    context = traced.begin()
    assert trail_of(context).text_limit == 0
    trail_of(context).close(FAILED)
    (server,) = traced.spans()
    assert server.status.description is None


@pytest.mark.parametrize(
    ("error", "attributes", "status"),
    [
        (StepFailed("x"), {"error.type": "step_failed"}, StatusCode.ERROR),
        (ZeroDivisionError(), {"error.type": "ZeroDivisionError"}, StatusCode.ERROR),
        (asyncio.CancelledError(), {"attendant.cancelled": True}, StatusCode.UNSET),
    ],
)
def test_a_stage_that_was_interrupted_has_ended_and_says_by_what(
    error: BaseException, attributes: dict[str, object], status: StatusCode
) -> None:
    traced = Traced()
    context = traced.begin()
    with pytest.raises(type(error)), context.stage.begin("work"):
        raise error
    context.stage.begin("forgotten")
    trail_of(context).close(OK)
    server, work, forgotten = traced.spans()
    assert (dict(work.attributes or {}), work.status.status_code) == (attributes, status)
    assert forgotten.end_time == server.end_time


def test_a_trail_waits_for_what_ends_after_its_call() -> None:
    traced = Traced()
    context = traced.begin()
    trail = trail_of(context)
    trail.hold()
    assert trail.close(OK)
    context.stage.add("late", time.monotonic_ns(), time.monotonic_ns())
    trail.release()
    assert [span.name for span in traced.spans()][1:] == ["late"]


def test_a_call_leaves_only_so_many_stages() -> None:
    traced = Traced()
    context = traced.begin()
    for _ in range(MOST_STAGES + 5):
        context.stage.begin("window").begin("run").end()
    trail_of(context).close(OK)
    spans = traced.spans()
    assert len(spans) == MOST_STAGES
    assert dict(spans[0].attributes or {})["attendant.dropped_stages"] == 2 * (MOST_STAGES + 5) - (MOST_STAGES - 1)


def test_a_shared_run_is_told_once_and_linked_both_ways() -> None:
    traced = Traced(ratio=0)
    kept = TraceContext(TRACE, SPAN, sampled=True)
    contexts = [traced.begin(trace=trace) for trace in (kept, kept, None)]
    trails = tuple(trail_of(context) for context in contexts)
    now_ns = time.monotonic_ns()
    run = SharedRun(now_ns, now_ns + 5, trails, {"model": "m", "batch_rows": 3})
    for context in contexts:
        context.stage.add("run", now_ns, now_ns + 5).run = run
        trail_of(context).close(OK)
    spans = traced.spans()
    (batch,) = [span for span in spans if span.name == "batch m"]
    assert [span.name for span in spans].count("run") == 2
    assert {link.context.span_id for link in batch.links} == {int(trail.span_id, 16) for trail in trails[:2]}
    assert batch.context.trace_id != int(TRACE, 16)
    assert (batch.parent, batch.end_time - batch.start_time) == (None, 5)
    for span in spans:
        if span.name == "run":
            assert [link.context.span_id for link in span.links] == [batch.context.span_id]


@pytest.mark.parametrize("ratio", [0, 1])
def test_calls_that_shared_runs_do_not_hold_on_to_each_other(ratio: float) -> None:
    traced = Traced(ratio=ratio)
    first = context = traced.begin()
    gone = weakref.ref(trail_of(first))
    del first
    for _ in range(5):  # each shares a run with the one before, which ends then
        following = traced.begin()
        run = SharedRun(1, 2, (trail_of(context), trail_of(following)), {})
        for each in (context, following):
            with each.stage.begin("classify") as stage:
                stage.add("run", 1, 2).run = run
        trail_of(context).close(OK)
        context = following
        del following, run, each, stage
    assert len(traced.spans()) == (0 if ratio == 0 else 5 * 3 + 4 * 2 + 5)
    gc.collect()
    assert trail_of(context).root.parts
    assert gone() is None


def test_a_part_that_is_kept_keeps_the_whole() -> None:
    traced = Traced(ratio=0)
    context = traced.begin()
    good, bad = context.part("1"), context.part("2")
    assert not trail_of(good).close(OK)
    assert trail_of(bad).close(CallEnd("INTERNAL", failed=True))
    assert trail_of(context).close(OK)
    part, whole = traced.spans()
    assert (part.parent.span_id, part.context.trace_id) == (whole.context.span_id, whole.context.trace_id)
    assert dict(part.attributes or {}) == {"attendant.call_id": "2", "error.type": "INTERNAL"}


def test_exemplars_lead_to_traces_that_are_certain_to_be_kept() -> None:
    traced = Traced(ratio=0, slow_s=100)
    sampled = trail_of(traced.begin(trace=TraceContext(TRACE, SPAN, sampled=True)))
    other = trail_of(traced.begin())
    begin_ns = other.root.begin_ns
    assert sampled.exemplar(begin_ns) == {"trace_id": TRACE, "span_id": sampled.span_id}
    assert other.exemplar(begin_ns + 99 * S) is None
    assert other.exemplar(begin_ns + 100 * S) == {"trace_id": other.trace_id, "span_id": other.span_id}
    traced.spans()


def test_nowhere_keeps_nothing() -> None:
    context = CallContext.new("mine")
    assert context.stage is NOWHERE
    with context.stage.begin("work", size=1) as stage:
        stage.note(more=2)
    assert stage is NOWHERE
    assert (NOWHERE.parts, NOWHERE.attributes, NOWHERE.end_ns) == ([], {}, 0)
    assert context.within(stage) is context
    assert context.part("call").stage is NOWHERE


@pytest.mark.parametrize(
    ("client", "address", "port"),
    [
        ("ipv4:10.0.0.1:5000", "10.0.0.1", 5000),
        ("ipv6:%5B::1%5D:5000", "::1", 5000),
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:80", "::1", 80),
    ],
)
def test_the_other_end_of_a_connection(client: str, address: str, port: int) -> None:
    assert peer(client) == {
        "network.peer.address": address,
        "network.peer.port": port,
        "network.transport": "tcp",
    }
    assert peer("") == peer("page") == {}


@pytest.mark.parametrize("endpoint", ["localhost:4317", "ftp://x", "http://"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must be http://HOST:PORT"):
        TracesSettings(endpoint=endpoint)


def test_variables_of_the_library_that_cannot_be_used_are_an_operators_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli")
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP"):
        SpanTracer(TracesSettings(enabled=True), Metrics().traces, {})


def test_the_share_that_is_kept_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = Traced(ratio=1)
    assert (traced.tracer.share, traced.call()) == (1, True)
    traced.tracer.keep(0)
    assert (traced.tracer.share, traced.call()) == (0, False)
    assert traced.call(trace=TraceContext(TRACE, SPAN, sampled=True))  # its caller has decided
    traced.tracer.keep(0.25)
    assert traced.tracer.share == 0.25
    for name, share in (("always_off", 0), ("always_on", 1), ("parentbased_always_off", 0)):
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
        assert Traced().tracer.share == share
