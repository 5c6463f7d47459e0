"""The Prometheus collectors of models that generate, and those of the server as a whole."""

from __future__ import annotations

import time
from collections.abc import Hashable
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from attendant import __version__
from attendant.core.events import FinishedEvent, StepStats
from attendant.core.request import FinishReason, Usage
from attendant.core.stages import Exemplar
from attendant.metrics.counts import ModelCounts, Times, ends, sum_of, value_of
from attendant.metrics.load import ModelLoad
from attendant.metrics.objectives import ObjectiveSeries
from attendant.metrics.outcomes import error_name, request_errors

FIRST_TOKEN_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160),
)
TOKEN_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
REQUEST_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75),
    *(1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920),
)
STEP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
_MODEL = ("model_name",)
LENGTH_BUCKETS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
    *(10_000, 20_000, 50_000, 100_000, 200_000),
)
RATIO_BUCKETS = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 2.0, 4.0)
TOKENS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


FORESEEN = ("first_token", "end")
"""What is foreseen of a request."""


class _Maker:
    """Makes collectors with one series for each model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"attendant_{name}", text, (*_MODEL, *labels), registry=self._registry)

    def gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"attendant_{name}", text, _MODEL, registry=self._registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"attendant_{name}", text, (*_MODEL, *labels), buckets=buckets, registry=self._registry)


class Collectors:
    """Names, help texts and buckets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        _build_info(registry)
        new = _Maker(registry)
        self.model_ready = new.gauge("model_ready", "1 for a model that is served, 0 for one that cannot be.")
        self.first_token = new.histogram(
            "time_to_first_token_seconds",
            "Arrival at the server to first token, tokenising included.",
            FIRST_TOKEN_BUCKETS,
        )
        self.inter_token = new.histogram(
            "inter_token_latency_seconds", "Between two tokens of a sequence, as they leave the engine.", TOKEN_BUCKETS
        )
        self.time_per_token = new.histogram(
            "request_time_per_output_token_seconds", "Mean time of a sequence's tokens after its first.", TOKEN_BUCKETS
        )
        self.foreseen = _foreseen(new)
        self.e2e = new.histogram("e2e_request_latency_seconds", "Arrival to end.", REQUEST_BUCKETS)
        self.queue = new.histogram("request_queue_time_seconds", "Arrival to first scheduled.", REQUEST_BUCKETS)
        self.prefill = new.histogram("request_prefill_time_seconds", "First scheduled to first token.", REQUEST_BUCKETS)
        self.decode = new.histogram("request_decode_time_seconds", "First to last token.", REQUEST_BUCKETS)
        self.inference = new.histogram(
            "request_inference_time_seconds", "First scheduled to last token.", REQUEST_BUCKETS
        )
        self.prompt_tokens = new.counter("prompt_tokens", "Prompt tokens of ended sequences, cached ones included.")
        self.cached_tokens = new.counter(
            "prompt_tokens_cached", "Of the prompt tokens, those taken from the KV cache of earlier requests."
        )
        self.generation_tokens = new.counter("generation_tokens", "Tokens generated.")
        self.request_prompt, self.request_generation = _lengths(new)
        self.success = new.counter("request_success", "Sequences that ended without an error.", "finished_reason")
        self.request_failure = new.counter(
            "request_failure", "Sequences that ended with an error, and requests refused at the door.", "error"
        )
        self.running = new.gauge("num_requests_running", "Sequences that hold KV memory.")
        self.waiting = new.gauge("num_requests_waiting", "Sequences in the queue.")
        self.kv_usage = new.gauge("kv_cache_usage_perc", "KV memory held by running sequences; 1 is all of its budget.")
        self.prefix_queries = new.counter("prefix_cache_queries", "Prompt tokens looked up in the prefix cache.")
        self.prefix_hits = new.counter("prefix_cache_hits", "Prompt tokens found in the prefix cache.")
        self.preemptions = new.counter("num_preemptions", "Sequences that lost their KV memory to others.")
        self.step = new.histogram("step_duration_seconds", "One engine step.", STEP_BUCKETS)
        self.step_run = new.histogram("step_run_seconds", "Of a step, inside the model run and sampling.", STEP_BUCKETS)
        self.step_batch = new.histogram(
            "step_batch_size", "Sequences that a step advanced by one token.", BATCH_BUCKETS
        )
        self.step_tokens = new.histogram(
            "step_tokens", "Tokens that a step ran: of prompts, of sources, and generated ones.", TOKENS_BUCKETS
        )


def _build_info(registry: CollectorRegistry) -> None:
    labels = ("version", "onnxruntime")
    build = Gauge("attendant_build_info", "1, with what runs as labels.", labels, registry=registry)
    build.labels(__version__, _onnxruntime_version()).set(1)


def _foreseen(new: _Maker) -> Histogram:
    said = "Time that the first token, or the end, of a request took, as a share of what was foreseen."
    return new.histogram("request_foreseen_ratio", said, RATIO_BUCKETS, "what")


def _lengths(new: _Maker) -> tuple[Histogram, Histogram]:
    ended = "Tokens generated for a sequence that ended without an error."
    return (
        new.histogram("request_prompt_tokens", "Prompt tokens of a sequence.", LENGTH_BUCKETS),
        new.histogram("request_generation_tokens", ended, LENGTH_BUCKETS),
    )


class ModelMetrics:
    """The series of one model, looked up once.

    Args:
        kept: those of what is promised of it.
        load: is told what the model is at.
        shared: whether several models have these series; then no one of them has a state.
    """

    def __init__(
        self, collectors: Collectors, model: str, kept: ObjectiveSeries, load: ModelLoad, *, shared: bool
    ) -> None:
        self.kept = kept
        self.last_step_ms = 0  # when the last step ended, since 1970
        self._load = load
        self._shared = shared
        self.generation_tokens = collectors.generation_tokens.labels(model)
        self.inter_token = collectors.inter_token.labels(model)
        self.successes = {r: collectors.success.labels(model, r.value) for r in FinishReason}
        self.failures = {e: collectors.request_failure.labels(model, error_name(e)) for e in request_errors()}
        self.foreseen = {what: collectors.foreseen.labels(model, what) for what in FORESEEN}
        self._prompt_tokens = collectors.prompt_tokens.labels(model)
        self.first_token = collectors.first_token.labels(model)
        self._cached_tokens = collectors.cached_tokens.labels(model)
        self._request_prompt = collectors.request_prompt.labels(model)
        self._request_generation = collectors.request_generation.labels(model)
        self._time_per_token = collectors.time_per_token.labels(model)
        self._e2e = collectors.e2e.labels(model)
        self._queue = collectors.queue.labels(model)
        self._prefill = collectors.prefill.labels(model)
        self._decode = collectors.decode.labels(model)
        self._inference = collectors.inference.labels(model)
        self._running = collectors.running.labels(model)
        self._waiting = collectors.waiting.labels(model)
        self._kv_usage = collectors.kv_usage.labels(model)
        self._prefix_queries = collectors.prefix_queries.labels(model)
        self._prefix_hits = collectors.prefix_hits.labels(model)
        self._preemptions = collectors.preemptions.labels(model)
        self._step = collectors.step.labels(model)
        self._step_run = collectors.step_run.labels(model)
        self._step_batch = collectors.step_batch.labels(model)
        self._step_tokens = collectors.step_tokens.labels(model)

    def shared_by(self, load: ModelLoad) -> None:
        """The model is there again: ``load`` is told what it is at."""
        self._load = load

    def tell_load(self) -> None:
        """What runs and waits is as it was told last."""
        if not self._shared:
            self._running.set(self._load.running)
            self._waiting.set(self._load.waiting)
            self._kv_usage.set(self._load.kv_usage)

    def step(self, stats: StepStats, owner: Hashable) -> None:
        self._state(stats, owner)
        num_tokens = stats.num_fed_tokens + stats.num_prefill_tokens + stats.num_decode_tokens
        if num_tokens:
            self._step.observe(stats.step_ns / 1e9)
            self._step_run.observe(stats.run_ns / 1e9)
            self._step_tokens.observe(num_tokens)
            self.last_step_ms = time.time_ns() // 1_000_000
        if stats.num_decode_tokens:
            self._step_batch.observe(stats.num_decode_tokens)
        if stats.prefix_queries:
            self._prefix_queries.inc(stats.prefix_queries)
            self._prefix_hits.inc(stats.prefix_hits)
        if stats.num_preemptions:
            self._preemptions.inc(stats.num_preemptions)

    def _state(self, stats: StepStats, owner: Hashable) -> None:
        load = self._load.versions.get(owner)
        if load is None:  # it has left
            return
        load.running, load.waiting = stats.num_running, stats.num_waiting
        if stats.kv_capacity_tokens:
            load.kv_used, load.kv_capacity = stats.kv_used_tokens, stats.kv_capacity_tokens
        self.tell_load()

    def finished(self, event: FinishedEvent, exemplar: Exemplar) -> None:
        timings, usage = event.timings, event.usage
        self.successes[event.reason].inc()
        self.usage(usage)
        self._request_generation.observe(usage.completion_tokens)
        self._e2e.observe(timings.total_ns / 1e9, exemplar)
        if not usage.completion_tokens:  # cancelled before its first token
            return
        self._queue.observe(timings.queue_ns / 1e9, exemplar)
        self._prefill.observe(timings.prefill_ns / 1e9, exemplar)
        self._decode.observe(timings.decode_ns / 1e9, exemplar)
        self._inference.observe((timings.prefill_ns + timings.decode_ns) / 1e9)
        if event.reason is not FinishReason.CANCELLED:
            self.kept.finished(timings, usage)
        if usage.completion_tokens > 1:
            self._time_per_token.observe(timings.decode_ns / 1e9 / (usage.completion_tokens - 1))

    def counts(self) -> ModelCounts | None:
        """What was counted so far; None where several models share it."""
        if self._shared:
            return None
        failed, refused = ends((error_name(error), value_of(count)) for error, count in self.failures.items())
        batch, (first_kept, each_kept), load = Times.of(self._step_batch), self.kept.attained(), self._load
        return ModelCounts(
            kind="generate",
            first=Times.of(self.first_token),
            each=Times.of(self.inter_token),
            units=value_of(self.generation_tokens),
            answered=sum(value_of(n) for r, n in self.successes.items() if r is not FinishReason.CANCELLED),
            failed=failed,
            refused=refused,
            batches=batch.total,
            rows=sum_of(self._step_batch),
            running=load.running,
            waiting=load.waiting,
            kv_usage=load.kv_usage,
            first_kept=first_kept,
            each_kept=each_kept,
        )

    def usage(self, usage: Usage) -> None:
        self._prompt_tokens.inc(usage.prompt_tokens)
        self._cached_tokens.inc(usage.cached_tokens)
        self._request_prompt.observe(usage.prompt_tokens)


def _onnxruntime_version() -> str:
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "none"
