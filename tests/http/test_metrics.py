"""What the figures mean: names, series at zero, and what each event adds."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from attendant.core.encoding import BatchStats
from attendant.core.errors import DeadlineExceeded, InvalidRequest, ModelNotFound, QueueFull, StepFailed
from attendant.core.events import FailedEvent, FinishedEvent, StepStats, TenantService
from attendant.core.objectives import ObjectivesByModel
from attendant.core.request import FinishReason, Timings, Usage
from attendant.metrics import Metrics, server
from attendant.metrics.labels import OTHER
from attendant.metrics.triton import COUNTERS, FAILURES, PENDING
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

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


def test_results_of_models_that_encode_are_counted(registry: CollectorRegistry, value: Value) -> None:
    metrics = Metrics(registry, ObjectivesByModel.parse("latency 50ms p99, free: latency 1s p50"))
    for model in ("m", "free"):
        metrics.encoders.add_model(model, "embed", lambda: 0, lambda: 0)
    assert (value("slo_limit_seconds", slo="latency"), value("slo_target_ratio", slo="latency")) == (0.05, 0.99)
    assert value("slo_limit_seconds", "free", slo="latency") == 1
    assert value("slo_attained_total", slo="latency") == 0
    for total_ms in (49, 50, 51):
        for model in ("m", "free"):
            metrics.encoders.call(model, "embed", "success", 1, total_ms * MS)
    metrics.encoders.call("m", "embed", "cancelled")
    assert (value("slo_attained_total", slo="latency"), value("slo_attained_total", "free", slo="latency")) == (2, 3)
    assert value("slo_attained_total", slo="request") is None


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


def test_the_page_is_what_the_library_would_write(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.add_model('of "quotes" \\ and\nlines')
    metrics.encoders.add_model("e", "embed", lambda: 3, lambda: 4)
    metrics.speech.add_model("m")
    for seconds in (0.0001, 0.02, 0.02, 7.0, 1000.0):
        metrics.first_token("m", seconds)
    for _ in range(20):
        metrics.step("m", StepStats(num_decode_tokens=2_000_000, kv_used_tokens=1, kv_capacity_tokens=3, step_ns=MS))
    metrics.refused("", InvalidRequest("n", "is 0"))
    disable_created_metrics()
    try:
        expected = generate_latest(registry).decode()
    finally:
        enable_created_metrics()
    assert metrics.render()[0].decode().splitlines() == expected.splitlines()


def test_no_series_says_when_it_was_created() -> None:
    metrics = Metrics()
    metrics.add_model("m")
    assert "_created" not in metrics.render()[0].decode()


def test_models_beyond_the_limit_share_their_series(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_MODELS", 4)
    metrics = Metrics(registry)
    for i in range(9):
        metrics.add_model(f"m{i}")
        metrics.encoders.add_model(f"m{i}", "embed", lambda: 1, lambda: 1)
        metrics.speech.add_model(f"m{i}")
        metrics.step(f"m{i}", StepStats(num_running=1))
        metrics.first_token(f"m{i}", 0.01)
        metrics.refused(f"m{i}", QueueFull("m", 4, 1.0))
        metrics.encoders.call(f"m{i}", "embed", "success", 1)
        metrics.speech.sound(f"m{i}", 1.0)
    metrics.models_ready({f"m{i}": True for i in range(9)})
    models = {s.labels["model_name"] for f in registry.collect() for s in f.samples if "model_name" in s.labels}
    assert models == {OTHER, *(f"m{i}" for i in range(4))}

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"attendant_{name}", {"model_name": OTHER, **labels})

    assert value("time_to_first_token_seconds_count") == 5
    assert value("request_failure_total", error="queue_full") == 5
    assert value("encoder_requests_total", task="embed", outcome="success") == 5
    assert value("speech_audio_seconds_total") == 5
    assert value("num_requests_running") == 0, "it is no state of one of them"
    assert 'vllm:num_requests_running{engine="0",model_name=""} 18' in metrics.render_load()[0].decode()
    for i in range(9):
        metrics.encoders.forget_model(f"m{i}", "embed")


def samples(page: bytes) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Samples of a page by name and labels, as a parser of Prometheus's text reads them."""
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in series, f"{sample.name} is there twice"
            series[labels] = sample.value
    return found


def kinds(page: bytes) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page.decode(), re.MULTILINE))


def one(page: bytes, name: str) -> tuple[dict[str, str], float]:
    ((labels, value),) = samples(page)[name].items()
    return dict(labels), value


def test_load_of_one_model() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.add_model("m")
    metrics.kv_memory("m", 16, 100)
    metrics.step("m", StepStats(num_running=3, num_waiting=2, kv_used_tokens=400, kv_capacity_tokens=1600))
    page, content_type = metrics.render_load()
    assert content_type.startswith("text/plain")
    of_model = {"engine": "0", "model_name": "m"}
    assert one(page, "vllm:num_requests_waiting") == (of_model, 2)
    assert one(page, "vllm:num_requests_running") == (of_model, 3)
    assert one(page, "vllm:kv_cache_usage_perc") == (of_model, 0.25)
    cache = {"engine": "0", "block_size": "16", "num_gpu_blocks": "100"}
    assert one(page, "vllm:cache_config_info") == (cache, 1)
    labels, now = one(page, "vllm:lora_requests_info")
    assert labels == {"max_lora": "0", "running_lora_adapters": "", "waiting_lora_adapters": ""}
    assert now > 1.6e9
    assert set(kinds(page).values()) == {"gauge"}
    assert len(kinds(page)) == 5


def test_load_of_several_models_is_that_of_the_server() -> None:
    metrics = Metrics(CollectorRegistry())
    for name, running, waiting, used in (("a", 1, 2, 10), ("b", 3, 4, 90)):
        metrics.add_model(name)
        metrics.step(
            name, StepStats(num_running=running, num_waiting=waiting, kv_used_tokens=used, kv_capacity_tokens=100)
        )
    metrics.kv_memory("a", 8, 10)
    metrics.kv_memory("b", 32, 10)
    metrics.encoders.add_model("e", "embed", lambda: 5, lambda: 7)
    page, _ = metrics.render_load()
    assert one(page, "vllm:num_requests_running") == ({"engine": "0", "model_name": ""}, 9)
    assert one(page, "vllm:num_requests_waiting")[1] == 13
    assert one(page, "vllm:kv_cache_usage_perc")[1] == 0.9
    assert one(page, "vllm:cache_config_info")[0] == {"engine": "0", "block_size": "8", "num_gpu_blocks": "50"}
    metrics.models_ready({"a": True})
    metrics.encoders.forget_model("e", "embed")
    page, _ = metrics.render_load()
    assert one(page, "vllm:num_requests_running") == ({"engine": "0", "model_name": "a"}, 1)


def test_load_of_a_server_without_models() -> None:
    page, _ = Metrics(CollectorRegistry()).render_load()
    assert one(page, "vllm:num_requests_running")[1] == one(page, "vllm:kv_cache_usage_perc")[1] == 0


VLLM = {
    **dict.fromkeys(("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"), "gauge"),
    **dict.fromkeys(("cache_config_info", "lora_requests_info", "engine_sleep_state"), "gauge"),
    **dict.fromkeys(("num_preemptions_total", "prefix_cache_queries_total", "prefix_cache_hits_total"), "counter"),
    **dict.fromkeys(("prompt_tokens_total", "prompt_tokens_cached_total", "generation_tokens_total"), "counter"),
    "request_success_total": "counter",
    **dict.fromkeys(("time_to_first_token_seconds", "inter_token_latency_seconds"), "histogram"),
    **dict.fromkeys(("request_time_per_output_token_seconds", "e2e_request_latency_seconds"), "histogram"),
    **dict.fromkeys((f"request_{stage}_time_seconds" for stage in ("queue", "prefill", "decode")), "histogram"),
    **dict.fromkeys(("request_inference_time_seconds", "iteration_tokens_total"), "histogram"),
    **dict.fromkeys(("request_prompt_tokens", "request_generation_tokens"), "histogram"),
}
"""Names and kinds that vLLM has, after its prefix."""


def test_vllms_names_are_there_if_asked_for() -> None:
    plain, metrics = Metrics(), Metrics(vllm_names=True)
    for each in (plain, metrics):
        each.add_model("m")
        each.kv_memory("m", 16, 100)
        each.first_token("m", 0.03)
        each.next_token("m", 0.003)
        timings = Timings(first_token_ns=30 * MS, decode_ns=3 * MS, total_ns=33 * MS)
        each.finished("m", FinishedEvent("1", FinishReason.STOP, Usage(10, 4, 2), timings))
        each.finished("m", FinishedEvent("2", FinishReason.CANCELLED, Usage(10, 0, 0), timings))
        each.failed("m", FailedEvent("3", DeadlineExceeded("late"), Usage(10, 0, 3), Timings()))
        each.failed("m", FailedEvent("4", StepFailed("boom"), Usage(10, 0, 3), Timings()))
        each.refused("m", QueueFull("m", 4, 1.0))
    assert b"vllm:" not in plain.render()[0]
    page = metrics.render()[0]
    found = {name.removeprefix("vllm:"): kind for name, kind in kinds(page).items() if name.startswith("vllm:")}
    assert found == VLLM
    own, values = samples(plain.render()[0]), samples(page)
    of_model = frozenset({"engine": "0", "model_name": "m"}.items())
    for name in (
        "num_requests_running",
        "prompt_tokens_total",
        "prompt_tokens_cached_total",
        "generation_tokens_total",
    ):
        assert values[f"vllm:{name}"] == {of_model: own[f"attendant_{name}"][frozenset({("model_name", "m")})]}
    for name in ("time_to_first_token_seconds", "request_prompt_tokens"):
        ours = {labels | {("engine", "0")}: value for labels, value in own[f"attendant_{name}_bucket"].items()}
        assert values[f"vllm:{name}_bucket"] == ours
    assert values["vllm:iteration_tokens_total_count"][of_model] == 0
    ends = {dict(labels)["finished_reason"]: value for labels, value in values["vllm:request_success_total"].items()}
    assert ends == {"stop": 1, "length": 0, "abort": 2, "error": 1}
    assert values["vllm:engine_sleep_state"][of_model | {("sleep_state", "awake")}] == 1
    cache = {("block_size", "16"), ("num_gpu_blocks", "100")}
    assert values["vllm:cache_config_info"] == {of_model | cache: 1}


def test_tritons_names_are_there_if_asked_for() -> None:
    metrics = Metrics(triton_names=True)
    metrics.add_model("g")
    metrics.encoders.add_model("e", "embed", lambda: 1, lambda: 5)
    for _ in range(3):
        metrics.step("g", StepStats(num_waiting=2, num_decode_tokens=4, step_ns=MS))
    timings = Timings(queue_ns=1 * MS, prefill_ns=2 * MS, decode_ns=4 * MS, first_token_ns=3 * MS, total_ns=8 * MS)
    metrics.finished("g", FinishedEvent("1", FinishReason.LENGTH, Usage(10, 4, 2), timings))
    metrics.finished("g", FinishedEvent("2", FinishReason.CANCELLED, Usage(10, 0, 0), Timings()))
    metrics.refused("g", QueueFull("g", 4, 1.0))
    metrics.failed("g", FailedEvent("4", StepFailed("boom"), Usage(10, 0, 3), Timings()))
    metrics.refused("g", InvalidRequest("n", "is 0"))
    metrics.encoders.batch("e", "embed", BatchStats(2, 10, 12, 3 * MS), [MS, 2 * MS])
    metrics.encoders.call("e", "embed", "success", 7 * MS)
    page = metrics.render()[0]
    values = samples(page)

    def value(name: str, model: str, **labels: str) -> float:
        series = values[name if name == PENDING else f"{name}_total"]  # the parser gives every counter this end
        return series[frozenset({"model": model, "version": "1", **labels}.items())]

    def of(model: str) -> list[float]:
        return [round(value(name, model), 6) for name in COUNTERS]

    assert of("g") == [1, 12, 3, 8000, 1000, 0, 6000, 0]
    assert of("e") == [1, 2, 1, 9000, 3000, 7000, 6000, 0]
    assert (value(PENDING, "g"), value(PENDING, "e")) == (2, 5)
    assert b'\nnv_inference_request_success{model="g",version="1"} 1.0\n' in page
    reasons = {reason: value(FAILURES, "g", reason=reason) for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")}
    assert reasons == dict.fromkeys(reasons, 1)
    found = {name: kind for name, kind in kinds(page).items() if name.startswith("nv_inference_")}
    assert found == {**dict.fromkeys([*COUNTERS, FAILURES], "counter"), PENDING: "gauge"}
    assert b"nv_inference_" not in Metrics().render()[0]


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus asks for unless it is told otherwise."""


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=0.0.1", False),
        ("text/plain;version=0.0.4", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_takes_openmetrics_gets_it(accept: str, openmetrics: bool) -> None:
    metrics = Metrics()
    content_type = metrics.render(accept)[1]
    assert content_type == (OPENMETRICS if openmetrics else CONTENT_TYPE_LATEST)


def test_the_two_formats_have_the_same_samples_and_only_one_has_exemplars() -> None:
    metrics = Metrics(CollectorRegistry(), vllm_names=True, triton_names=True)
    metrics.add_model('m"1')
    metrics.encoders.add_model("e", "embed", lambda: 1, lambda: 2)
    labels = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    metrics.first_token('m"1', 0.03, labels)
    metrics.next_token('m"1', 0.004, labels)
    metrics.next_token('m"1', 0.5)
    timings = Timings(1 * MS, 2 * MS, 4 * MS, 3 * MS, 8 * MS)
    metrics.finished('m"1', FinishedEvent("1", FinishReason.STOP, Usage(1, 0, 2), timings), labels)
    metrics.encoders.batch("e", "embed", BatchStats(2, 10, 12, 3 * MS), [MS, 2 * MS], [None, labels])
    page, own = metrics.render(PROMETHEUS)[0].decode(), metrics.render()[0].decode()
    assert page.endswith("# EOF\n")
    assert " # {" not in own
    found: dict[str, tuple[float, dict[str, str]]] = {}
    families = list(parse_openmetrics(page))
    for family in families:
        for sample in family.samples:
            if sample.exemplar is not None and family.name.startswith("attendant_"):
                assert float(sample.labels["le"]) >= sample.exemplar.value
                found[family.name.removeprefix("attendant_")] = sample.exemplar.value, sample.exemplar.labels
    assert found == {
        "time_to_first_token_seconds": (0.03, labels),
        "inter_token_latency_seconds": (0.004, labels),
        "e2e_request_latency_seconds": (0.008, labels),
        "request_queue_time_seconds": (0.001, labels),
        "request_prefill_time_seconds": (0.002, labels),
        "request_decode_time_seconds": (0.004, labels),
        "encoder_queue_seconds": (0.002, labels),
        "encoder_compute_seconds": (0.003, labels),
    }

    def values(text: str) -> list[str]:
        lines = [line.partition(" # {")[0] for line in text.splitlines() if not line.startswith("#")]
        return sorted(line for line in lines if not line.startswith("vllm:lora_requests_info"))  # its value is the time

    assert values(page) == values(own)
    assert {family.type for family in families if family.name in COUNTERS} == {"unknown"}  # they do not end in _total


def test_tenants_have_series_of_their_own_up_to_a_limit() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, most_tenants=2)
    metrics.add_model("m")
    served = tuple(TenantService(tenant, 10, 3) for tenant in ("a", "b", "c", "d"))
    metrics.step("m", StepStats(served=served, evenness=0.5))
    metrics.step("m", StepStats(served=served[:1]))

    def tokens(tenant: str, kind: str) -> float | None:
        labels = {"model_name": "m", "tenant": tenant, "kind": kind}
        return registry.get_sample_value("attendant_tenant_tokens_total", labels)

    assert [tokens(tenant, "input") for tenant in ("a", "b", "c", OTHER)] == [20, 10, None, 20]
    assert [tokens(tenant, "output") for tenant in ("a", "b", "d", OTHER)] == [6, 3, None, 6]
    assert registry.get_sample_value("attendant_fairness_index", {"model_name": "m"}) == 0.5
