"""Spans on their way to a collector: which settings they go by, and what becomes of them where there is none."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from attendant.core.context import CallContext
from attendant.core.stages import Arrival, CallEnd
from attendant.metrics import Metrics
from attendant.settings import TracesSettings
from attendant.traces.tracer import SpanTracer
from prometheus_client.parser import text_string_to_metric_families

from tests.traces.collector import Collector, collecting

HANGS_S = 60


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


class Sending:
    """A tracer that sends to ``endpoint``, and its counts."""

    def __init__(self, endpoint: str, **settings: object) -> None:
        self._metrics = Metrics()
        self._metrics.traces.add()
        chosen = TracesSettings(enabled=True, endpoint=endpoint, **settings)  # type: ignore[arg-type]
        self.tracer = SpanTracer(chosen, self._metrics.traces, {})
        self.tracer.start()

    def call(self, num_stages: int = 1) -> None:
        """A call with so many spans."""
        context = self.tracer.begin(CallContext.new(), Arrival("grpc", "a.B/C"))
        for _ in range(num_stages - 1):
            context.stage.begin("work").end()
        assert context.stage.trail is not None
        context.stage.trail.close(CallEnd("OK"))

    def count(self, outcome: str) -> float:
        for family in text_string_to_metric_families(self._metrics.render()[0].decode()):
            for sample in family.samples:
                if sample.name == "attendant_trace_spans_total" and sample.labels == {"outcome": outcome}:
                    return sample.value
        raise AssertionError(outcome)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def test_spans_reach_the_collector_of_the_settings_and_the_rest_at_the_end(collector: Collector) -> None:
    sending = Sending(collector.endpoint)
    sending.call(3)
    eventually(lambda: len(collector.spans) == 3)
    sending.call(2)
    sending.tracer.close()
    assert len(collector.spans) == 5
    assert [sending.count(outcome) for outcome in ("sent", "failed", "dropped")] == [5, 0, 0]
    eventually(lambda: not any(thread.name == "traces" for thread in threading.enumerate()))


def test_variables_of_opentelemetry_count_where_the_settings_say_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=secret")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=9")
    sending = Sending("")
    sending.call()
    sending.tracer.close()
    (resource,) = collector.resources
    assert (resource["service.name"], resource["service.version"]) == ("shop", "9")
    assert resource["deployment.environment.name"] == "test"
    assert collector.metadata[0]["x-token"] == "secret"


def test_a_collector_that_is_away_costs_its_spans_and_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with socket.socket() as taken:  # bound and not listened on: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sending = Sending(f"http://127.0.0.1:{port}")
        sending.call(2)
        eventually(lambda: sending.count("failed") == 2)
        sending.call(2)
        eventually(lambda: sending.count("failed") == 4)
    with collecting(port) as collector:
        eventually(lambda: _reaches(sending, collector))
        sending.tracer.close()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    (line,) = [line for line in lines if "do not reach the collector" in line]
    assert "UNAVAILABLE" in line or "did not take them" in line, "which a busy machine has first"
    assert lines == [line]


def _reaches(sending: Sending, collector: Collector) -> bool:
    sending.call()
    return bool(collector.spans)


def test_a_collector_that_never_answers_fills_the_queue_and_not_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        collector.stuck = threading.Event()
        sending = Sending(collector.endpoint, max_waiting_spans=1000, flush_timeout_s=0.1)
        sending.call(600)
        eventually(lambda: collector.num_calls > 0)
        for _ in range(3):
            sending.call(300)
        assert sending.count("dropped") == 600  # what was sent waits, too, until it is taken
        sending.tracer.close()  # although nothing has answered
        assert sending.count("sent") == 0
        assert sending.count("dropped") + sending.count("failed") >= 1500
