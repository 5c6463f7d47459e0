"""The page docs/metrics.md: every metric of the server, from the collectors that it registers."""

from __future__ import annotations

from collections.abc import Iterator

from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

HEADER = """# Metrics

What `/metrics` on the HTTP port says. Names and meanings are those that dashboards for LLM servers know (vLLM's), with
the prefix `attendant_`. Durations are in seconds. A counter's name ends in `_total`; a histogram has `_bucket`, `_sum`
and `_count`. The process's own metrics (`process_resident_memory_bytes`, `process_cpu_seconds_total`, `python_gc_...`)
are there, too. [Operating](operating.md) says which of them to watch.

Written by `python -m tests.docs`; a test keeps it true.

"""
GROUPS = {
    "Speech": "attendant_speech_",
    "Models that encode": "attendant_encoder_",
    "The server and models that generate": "attendant_",
}


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
    return HEADER + "\n\n".join(reversed(tables)) + "\n"


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
