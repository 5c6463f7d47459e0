"""The page docs/metrics.md: every metric of the server, from the collectors that it registers."""

from __future__ import annotations

from collections.abc import Iterator

from attendant.metrics import Metrics
from attendant.metrics.labels import MOST_MODELS, OTHER
from attendant.metrics.triton import COUNTERS, FAILURES, PENDING, REASONS
from attendant.metrics.vllm import ENDS, ERRORS, NAMES
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

HEADER = f"""# Metrics

What `/metrics` on the HTTP port says. Names and meanings are those that dashboards for LLM servers know (vLLM's), with
the prefix `attendant_`. Durations are in seconds. A counter's name ends in `_total`; a histogram has `_bucket`, `_sum`
and `_count`. The process's own metrics (`process_resident_memory_bytes`, `process_cpu_seconds_total`, `python_gc_...`)
are there, too. Series named `_created` are not. [Operating](operating.md) says which of them to watch.

**Labels.** Nobody's calls make series. `model_name` is the name of a model that the server has or had; calls that name
no model of it share the value `""`, whatever they name. The first {MOST_MODELS} models that a process loads have series
of their own, and those that come after share the value `{OTHER}`, which has counts but no state
(`num_requests_running` and the like). Every other label has a few fixed values: tasks, ends, errors.

Written by `python -m tests.docs`; a test keeps it true.

"""
GROUPS = {
    "Speech": "attendant_speech_",
    "Models that encode": "attendant_encoder_",
    "The server and models that generate": "attendant_",
}


VLLM = """## Under vLLM's names

With `metrics.vllm_names` these are there once more, with the label `engine="0"` besides, so that dashboards and
autoscaling made for vLLM work as they are:

| metric | is |
|---|---|
"""
TRITON = """## Under Triton's names

With `metrics.triton_names` these are there, too, with the labels `model` and `version` (always 1), for what is made for
Triton. What belongs to a model's sequences and to its rows of batches is added up.

| metric | kind | meaning |
|---|---|---|
"""
PICKERS = """## /metrics/load

What endpoint pickers choose by, of the server as a whole: one series of each name, always under vLLM's names, which
they know. It costs a tenth of `/metrics`, so that it can be read 20 times a second. With one model `model_name` is its
name, else it is empty.

| metric | meaning |
|---|---|
| `vllm:num_requests_waiting` | Sequences in the queues of all models, and rows of those that encode. |
| `vllm:num_requests_running` | Sequences and rows that run. |
| `vllm:kv_cache_usage_perc` | KV memory held by running sequences, of the model that has least left; 1 is all of it. |
| `vllm:cache_config_info` | 1; labels `block_size` and `num_gpu_blocks` say how large the KV memory of all models is. |
| `vllm:lora_requests_info` | The time in seconds; the labels say that there are no adapters. |
"""


def metrics_page() -> str:
    """The page."""
    left = list(_collectors())
    tables = []
    for title, prefix in GROUPS.items():
        rows = [_row(metric) for metric in left if metric._name.startswith(prefix)]
        left = [metric for metric in left if not metric._name.startswith(prefix)]
        tables.append(
            "\n".join([f"## {title}", "", "| metric | kind | labels | meaning |", "|---|---|---|---|", *rows])
        )
    vllm, triton = VLLM + "\n".join(_vllm_rows()), TRITON + "\n".join(_triton_rows())
    return "\n\n".join([HEADER + "\n\n".join(reversed(tables)), vllm, triton, PICKERS])


def _triton_rows() -> Iterator[str]:
    yield from (f"| `{name}` | counter | {text} |" for name, text in COUNTERS.items())
    reasons = ", ".join(f"{error} as `{reason}`" for error, reason in REASONS.items())
    yield f"| `{FAILURES}` | counter | Those that ended in another way, by `reason`: {reasons}, others as `OTHER`. |"
    yield f"| `{PENDING}` | gauge | Sequences and rows that wait. |"


def _vllm_rows() -> Iterator[str]:
    for metric in _collectors():
        if metric._name in NAMES:
            suffix = "_total" if metric._type == "counter" else ""
            yield f"| `{NAMES[metric._name]}{suffix}` | `{_name(metric)}` |"
    ends = ", ".join(f"{ours.value} as `{theirs}`" for ours, theirs in ENDS.items())
    errors = ", ".join(f"{ours} as `{theirs}`" for ours, theirs in ERRORS.items())
    yield f"| `vllm:request_success_total` | `attendant_request_success_total` ({ends}) and failures ({errors}) |"
    yield "| `vllm:engine_sleep_state` | 1 for `awake`: engines do not sleep |"
    yield "| `vllm:cache_config_info` | KV memory of each model, as labels `block_size` and `num_gpu_blocks` |"
    yield "| `vllm:lora_requests_info` | the time; no adapters |"


def names() -> set[str]:
    """Every metric, as a query names it but for the suffixes of histograms."""
    return {_name(metric) for metric in _collectors()}


def _collectors() -> Iterator[MetricWrapperBase]:
    registry = CollectorRegistry()
    Metrics(registry)
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            yield collector


def _name(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if metric._type == "counter" else metric._name


def _row(metric: MetricWrapperBase) -> str:
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{_name(metric)}` | {metric._type} | {labels} | {metric._documentation} |"
