"""What stands on the page once more under vLLM's names, so that what is made for vLLM works: dashboards, autoscalers,
endpoint pickers. Names, labels and kinds are those of its release of autumn 2026; the label ``engine`` is always 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from attendant.core.request import FinishReason
from attendant.metrics.families import read_rows, written
from attendant.metrics.load import ModelLoad, adapters, cache_labels, cache_sizes

if TYPE_CHECKING:
    from attendant.metrics.generation import Collectors

CONSTANT: Mapping[str, str] = {"engine": "0"}

SAME = (
    *("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions"),
    *("prefix_cache_queries", "prefix_cache_hits", "prompt_tokens", "prompt_tokens_cached", "generation_tokens"),
    *("time_to_first_token_seconds", "inter_token_latency_seconds", "request_time_per_output_token_seconds"),
    *("e2e_request_latency_seconds", "request_queue_time_seconds", "request_prefill_time_seconds"),
    *("request_decode_time_seconds", "request_inference_time_seconds"),
    *("request_prompt_tokens", "request_generation_tokens"),
)
NAMES: Mapping[str, str] = {
    **{f"attendant_{name}": f"vllm:{name}" for name in SAME},
    "attendant_step_tokens": "vllm:iteration_tokens_total",
}
"""Collectors that only have another name there."""

ENDS: Mapping[FinishReason, str] = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CANCELLED: "abort",
}
ERRORS: Mapping[str, str] = {
    **dict.fromkeys(("deadline_exceeded", "request_cancelled"), "abort"),
    **dict.fromkeys(("step_failed", "engine_dead", "attendant_error"), "error"),
}
"""Failures that vLLM counts among the ends of requests; it counts none that were refused at the door."""


def vllm_families(collectors: Collectors, models: Mapping[str, ModelLoad]) -> Iterator[str]:
    """The families that are more than a name: ends of requests, whether engines are awake, the KV memory."""
    ends: dict[tuple[str, str], float] = {}
    for model, reason in ((name, reason) for name in models for reason in ("stop", "length", "abort", "error")):
        ends[model, reason] = 0.0
    for (model, reason), (value,) in read_rows(collectors.success):
        ends[model, ENDS[FinishReason(reason)]] = ends.get((model, ENDS[FinishReason(reason)]), 0.0) + float(value)
    for (model, error), (value,) in read_rows(collectors.request_failure):
        if (model, ERRORS.get(error, "")) in ends:
            ends[model, ERRORS[error]] += float(value)
    yield written(
        "vllm:request_success_total",
        "counter",
        "Sequences that ended.",
        [({**CONSTANT, "model_name": model, "finished_reason": end}, value) for (model, end), value in ends.items()],
    )
    states = {"awake": 1, "weights_offloaded": 0, "discard_all": 0}
    yield written(
        "vllm:engine_sleep_state",
        "gauge",
        "Whether the engine is awake; it always is.",
        [
            ({**CONSTANT, "model_name": model, "sleep_state": state}, value)
            for model in models
            for state, value in states.items()
        ],
    )
    yield cache_sizes({**cache_labels(*load.blocks), "model_name": model} for model, load in models.items())
    yield adapters()
