"""What the figures mean: names, series at zero, and what each event adds."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from attendant.core.errors import DeadlineExceeded, InvalidRequest, ModelNotFound, QueueFull
from attendant.core.events import FailedEvent, FinishedEvent, StepStats
from attendant.core.objectives import ObjectivesByModel
from attendant.core.request import FinishReason, Timings, Usage
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry

Value = Callable[..., float | None]
MS = 1_000_000


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    metrics = Metrics(registry)
    metrics.add_model("m")
    return metrics


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    def read(name: str, model: str = "m", **labels: str) -> float | None:
        return registry.get_sample_value(f"attendant_{name}", {"model_name": model, **labels})

    return read


def test_every_series_of_a_model_exists_at_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    samples = [sample for family in registry.collect() for sample in family.samples if "model_name" in sample.labels]
    assert len({sample.name for sample in samples}) > 40
    assert all(sample.value == 0 for sample in samples if not sample.name.endswith("_created"))


def test_names_are_those_that_dashboards_know(metrics: Metrics) -> None:
    page, content_type = metrics.render()
    names = set(re.findall(r"^# TYPE (\S+)", page.decode(), re.MULTILINE))
    assert {
        "attendant_time_to_first_token_seconds",
        "attendant_inter_token_latency_seconds",
        "attendant_request_time_per_output_token_seconds",
        "attendant_e2e_request_latency_seconds",
        *(f"attendant_request_{stage}_time_seconds" for stage in ("queue", "prefill", "decode", "inference")),
        "attendant_num_requests_running",
        "attendant_num_requests_waiting",
        "attendant_kv_cache_usage_perc",
        "attendant_prefix_cache_queries_total",
        "attendant_prefix_cache_hits_total",
        "attendant_num_preemptions_total",
        "attendant_prompt_tokens_total",
        "attendant_generation_tokens_total",
        "attendant_request_success_total",
        "attendant_request_failure_total",
        "attendant_step_duration_seconds",
        "attendant_step_batch_size",
        "attendant_build_info",
    } <= names
    assert "text/plain" in content_type


def test_a_step(metrics: Metrics, value: Value) -> None:
    stats = StepStats(
        num_running=3,
        num_waiting=2,
        num_prefill_tokens=10,
        num_decode_tokens=2,
        num_preemptions=1,
        prefix_queries=20,
        prefix_hits=8,
        kv_used_tokens=25,
        kv_capacity_tokens=100,
        step_ns=7 * MS,
        run_ns=6 * MS,
    )
    metrics.step("m", stats)
    metrics.step("m", stats)
    assert (value("num_requests_running"), value("num_requests_waiting")) == (3, 2)
    assert value("kv_cache_usage_perc") == 0.25
    assert (value("prefix_cache_queries_total"), value("prefix_cache_hits_total")) == (40, 16)
    assert value("num_preemptions_total") == 2
    assert value("step_duration_seconds_sum") == pytest.approx(0.014)
    assert value("step_run_seconds_sum") == pytest.approx(0.012)
    assert (value("step_batch_size_sum"), value("step_batch_size_count")) == (4, 2)
    assert value("step_tokens_sum") == 24


def test_a_report_without_work_is_no_step(metrics: Metrics, value: Value) -> None:
    metrics.step("m", StepStats(num_running=1, step_ns=5))
    assert value("num_requests_running") == 1
    assert value("step_duration_seconds_count") == 0


def test_a_finished_sequence(metrics: Metrics, value: Value) -> None:
    timings = Timings(queue_ns=1 * MS, prefill_ns=2 * MS, decode_ns=9 * MS, first_token_ns=4 * MS, total_ns=14 * MS)
    metrics.first_token("m", 0.004)
    for _ in range(3):
        metrics.next_token("m", 0.003)
    metrics.finished("m", FinishedEvent("1", FinishReason.STOP, Usage(10, 4, 4), timings))
    assert value("request_success_total", finished_reason="stop") == 1
    assert (value("prompt_tokens_total"), value("generation_tokens_total")) == (10, 4)
    assert (value("inter_token_latency_seconds_count"), value("inter_token_latency_seconds_sum")) == (
        3,
        pytest.approx(0.009),
    )
    assert value("time_to_first_token_seconds_sum") == pytest.approx(0.004)
    assert value("request_queue_time_seconds_sum") == pytest.approx(0.001)
    assert value("request_prefill_time_seconds_sum") == pytest.approx(0.002)
    assert value("request_decode_time_seconds_sum") == pytest.approx(0.009)
    assert value("request_inference_time_seconds_sum") == pytest.approx(0.011)
    assert value("request_time_per_output_token_seconds_sum") == pytest.approx(0.003)
    assert value("e2e_request_latency_seconds_sum") == pytest.approx(0.014)


def test_a_sequence_that_ends_before_its_first_token_has_no_stages(metrics: Metrics, value: Value) -> None:
    metrics.finished("m", FinishedEvent("1", FinishReason.CANCELLED, Usage(10, 0, 0), Timings(total_ns=MS)))
    assert value("request_success_total", finished_reason="cancelled") == 1
    assert value("e2e_request_latency_seconds_count") == 1
    assert value("time_to_first_token_seconds_count") == 0
    assert value("request_queue_time_seconds_count") == 0


@pytest.fixture
def promised(registry: CollectorRegistry) -> Metrics:
    metrics = Metrics(registry, ObjectivesByModel.parse("ttft 100ms p99, itl 10ms p95, free: itl 1s p99"))
    metrics.add_model("m")
    return metrics


def test_what_is_promised_is_told(promised: Metrics, value: Value) -> None:
    promised.add_model("free")
    assert (value("slo_limit_seconds", slo="ttft"), value("slo_target_ratio", slo="ttft")) == (0.1, 0.99)
    assert (value("slo_limit_seconds", slo="itl"), value("slo_target_ratio", slo="itl")) == (0.01, 0.95)
    assert value("slo_limit_seconds", "free", slo="itl") == 1
    assert [value("slo_attained_total", slo=slo) for slo in ("ttft", "itl", "request")] == [0, 0, 0]


def test_what_comes_in_time_is_counted(promised: Metrics, value: Value) -> None:
    for seconds in (0.05, 0.1, 0.11):
        promised.first_token("m", seconds)
    for seconds in (0.01, 0.02, 0.001):
        promised.next_token("m", seconds)
    assert (value("slo_attained_total", slo="ttft"), value("slo_attained_total", slo="itl")) == (2, 2)
    assert (value("time_to_first_token_seconds_count"), value("inter_token_latency_seconds_count")) == (3, 3)


@pytest.mark.parametrize(
    ("first_ms", "decode_ms", "tokens", "reason", "good"),
    [
        (100, 30, 4, FinishReason.STOP, 1),
        (101, 30, 4, FinishReason.STOP, 0),
        (100, 31, 4, FinishReason.LENGTH, 0),
        (100, 0, 1, FinishReason.LENGTH, 1),
        (0, 0, 0, FinishReason.LENGTH, 0),
        (10, 10, 4, FinishReason.CANCELLED, 0),
    ],
)
def test_goodput_is_whole_answers(
    promised: Metrics, value: Value, first_ms: int, decode_ms: int, tokens: int, reason: FinishReason, good: int
) -> None:
    timings = Timings(decode_ns=decode_ms * MS, first_token_ns=first_ms * MS)
    promised.finished("m", FinishedEvent("1", reason, Usage(10, 0, tokens), timings))
    assert value("slo_attained_total", slo="request") == good


def test_nothing_is_counted_where_nothing_is_promised(metrics: Metrics, value: Value) -> None:
    metrics.first_token("m", 0.01)
    metrics.finished("m", FinishedEvent("1", FinishReason.STOP, Usage(10, 0, 1), Timings()))
    assert value("slo_attained_total", slo="ttft") is None
    assert value("slo_attained_total", slo="request") is None


def test_failures_and_refusals_count_by_error(metrics: Metrics, value: Value) -> None:
    metrics.failed("m", FailedEvent("1", DeadlineExceeded("late"), Usage(10, 0, 3), Timings()))
    metrics.refused("m", QueueFull("m", 4, 1.0))
    metrics.refused("m", InvalidRequest("n", "is 0"))
    assert value("request_failure_total", error="deadline_exceeded") == 1
    assert value("request_failure_total", error="queue_full") == 1
    assert value("request_failure_total", error="invalid_request") == 1
    assert value("prompt_tokens_total") == 10


def test_callers_cannot_make_series(metrics: Metrics, value: Value, registry: CollectorRegistry) -> None:
    for i in range(100):
        metrics.refused(f"no-such-model-{i}", ModelNotFound(f"no-such-model-{i}", ("m",)))
    assert value("request_failure_total", model="", error="model_not_found") == 100
    models = {s.labels["model_name"] for f in registry.collect() for s in f.samples if "model_name" in s.labels}
    assert models == {"m", ""}


def test_two_servers_in_one_process_do_not_share_figures() -> None:
    first, second = Metrics(), Metrics()
    for metrics in (first, second):
        metrics.add_model("m")
    first.first_token("m", 0.001)
    assert b'attendant_generation_tokens_total{model_name="m"} 1.0' in first.render()[0]
    assert b'attendant_generation_tokens_total{model_name="m"} 0.0' in second.render()[0]
    assert b"process_cpu_seconds_total" in first.render()[0]
