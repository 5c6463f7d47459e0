"""What stands on the page once more under Triton's names, so that what is made for Triton works: dashboards and
autoscalers. Names, labels and kinds are Triton's; the label ``version`` is always 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.metrics import MetricWrapperBase

from attendant.core.request import FinishReason
from attendant.metrics.families import read_rows, written
from attendant.metrics.outcomes import SUCCESS

if TYPE_CHECKING:
    from attendant.metrics.encoding import EncoderMetrics
    from attendant.metrics.generation import Collectors

COUNTERS: Mapping[str, str] = {
    "nv_inference_request_success": "Sequences and calls that ended as asked for.",
    "nv_inference_count": "Inferences: a token of a sequence, or a row of a batch.",
    "nv_inference_exec_count": "Runs that made them: steps and batches.",
    "nv_inference_request_duration_us": "Time of sequences and rows from arrival to end, in microseconds, added up.",
    "nv_inference_queue_duration_us": "Time of sequences and rows before they ran, in microseconds, added up.",
    "nv_inference_compute_input_duration_us": "Time that making tensors of calls took, in microseconds, added up.",
    "nv_inference_compute_infer_duration_us": "Time of sequences and rows in runs, in microseconds, added up.",
    "nv_inference_compute_output_duration_us": "Not told apart: 0.",
}
FAILURES = "nv_inference_request_failure"
PENDING = "nv_inference_pending_request_count"

REASONS: Mapping[str, str] = {
    "queue_full": "REJECTED",
    "would_be_late": "REJECTED",
    "cancelled": "CANCELED",
    "request_cancelled": "CANCELED",
    **dict.fromkeys(("step_failed", "engine_dead", "attendant_error"), "BACKEND"),
}
"""Why requests fail, by our errors; every other one is OTHER."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What a model has done: the counters by name, as numbers. Times in nanoseconds, of all together.

    ``last_ms``: when its last run ended, in milliseconds since 1970; 0: none has.
    """

    successes: int = 0
    failures: int = 0
    inferences: int = 0
    executions: int = 0
    request_ns: int = 0
    queue_ns: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    last_ms: int = 0


def triton_figures(
    generating: Collectors, encoding: EncoderMetrics, last_step_ms: Mapping[str, int]
) -> dict[str, ModelFigures]:
    """The figures of every model that has series, by name. ``last_step_ms``: when those that generate ended a step."""
    figures = _figures(generating, encoding)
    found: dict[str, ModelFigures] = {}
    for model, counts in figures.counts.items():
        whole = {name: round(counts[name]) for name in COUNTERS}
        ns = {name: round(counts[name] * 1000) for name in COUNTERS}
        found[model] = ModelFigures(
            successes=whole["nv_inference_request_success"],
            failures=round(sum(figures.failures[model].values())),
            inferences=whole["nv_inference_count"],
            executions=whole["nv_inference_exec_count"],
            request_ns=ns["nv_inference_request_duration_us"],
            queue_ns=ns["nv_inference_queue_duration_us"],
            input_ns=ns["nv_inference_compute_input_duration_us"],
            infer_ns=ns["nv_inference_compute_infer_duration_us"],
            last_ms=max(encoding.last_run_ms.get(model, 0), last_step_ms.get(model, 0)),
        )
    return found


def triton_families(generating: Collectors, encoding: EncoderMetrics) -> Iterator[str]:
    """The families of every model that has series, in the order of COUNTERS."""
    figures = _figures(generating, encoding)
    for name, text in COUNTERS.items():
        yield written(
            name, "counter", text, [(_labels(model), figures.counts[model][name]) for model in figures.counts]
        )
    failures = [
        ({**_labels(model), "reason": reason}, figures.failures[model][reason])
        for model in figures.counts
        for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
    ]
    yield written(FAILURES, "counter", "Sequences and calls that ended in another way.", failures)
    pending = [(_labels(model), figures.counts[model][PENDING]) for model in figures.counts]
    yield written(PENDING, "gauge", "Sequences and rows that wait.", pending)


def _figures(generating: Collectors, encoding: EncoderMetrics) -> _Figures:
    figures = _Figures()
    _add_generation(figures, generating)
    _add_encoding(figures, encoding)
    return figures


class _Figures:
    """By model, then by name or reason."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.failures: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, name: str, metric: MetricWrapperBase, *, part: int = -1, times: float = 1.0) -> None:
        """``part``: which sample of a series; of a histogram -1 is the sum and -2 the count."""
        for (model, *_), values in read_rows(metric):
            self.counts[model][name] += float(values[part]) * times

    def end(self, model: str, outcome: str, count: float) -> None:
        if outcome == SUCCESS:
            self.counts[model]["nv_inference_request_success"] += count
        else:
            self.failures[model][REASONS.get(outcome, "OTHER")] += count


def _add_generation(figures: _Figures, collectors: Collectors) -> None:
    for (model, reason), (value,) in read_rows(collectors.success):
        figures.end(model, "cancelled" if reason == FinishReason.CANCELLED else SUCCESS, float(value))
    for (model, error), (value,) in read_rows(collectors.request_failure):
        figures.end(model, error, float(value))
    figures.add("nv_inference_count", collectors.step_batch)
    figures.add("nv_inference_exec_count", collectors.step_batch, part=-2)
    figures.add("nv_inference_request_duration_us", collectors.e2e, times=1e6)
    figures.add("nv_inference_queue_duration_us", collectors.queue, times=1e6)
    figures.add("nv_inference_compute_infer_duration_us", collectors.inference, times=1e6)
    figures.add(PENDING, collectors.waiting)


def _add_encoding(figures: _Figures, collectors: EncoderMetrics) -> None:
    for (model, _, outcome), (value,) in read_rows(collectors.calls):
        figures.end(model, outcome, float(value))
    figures.add("nv_inference_count", collectors.rows)
    figures.add("nv_inference_exec_count", collectors.rows, part=-2)
    figures.add("nv_inference_queue_duration_us", collectors.queue, times=1e6)
    figures.add("nv_inference_request_duration_us", collectors.queue, times=1e6)
    figures.add("nv_inference_compute_input_duration_us", collectors.preprocess, times=1e6)
    for model, seconds in collectors.row_seconds.copy().items():
        figures.counts[model]["nv_inference_compute_infer_duration_us"] += seconds * 1e6
        figures.counts[model]["nv_inference_request_duration_us"] += seconds * 1e6
    figures.add(PENDING, collectors.waiting)


def _labels(model: str) -> dict[str, str]:
    return {"model": model, "version": "1"}
