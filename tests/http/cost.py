"""What the pages of four models cost: `python -m tests.http.cost` prints processor time, in milliseconds."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

from attendant.core.events import FinishedEvent, StepStats
from attendant.core.request import FinishReason, Timings, Usage
from attendant.http.page.history import History
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry, generate_latest

MODELS, REQUESTS, MS = 4, 300, 1_000_000


def fill(metrics: Metrics) -> None:
    """Models that generate and encode, with values in most buckets."""
    for name in (f"model-{i}" for i in range(MODELS)):
        metrics.add_model(name)
        metrics.kv_memory(name, 16, 100)
        metrics.encoders.add_model(name, "embed", lambda: 1, lambda: 2)
        for k in range(REQUESTS):
            metrics.first_token(name, k * 1e-3)
            metrics.next_token(name, k * 1.1e-3)
            timings = Timings(k * MS, k * MS, k * MS, 2 * k * MS, 3 * k * MS)
            metrics.finished(name, FinishedEvent("1", FinishReason.STOP, Usage(k + 1, k // 2, k + 1), timings))
            metrics.step(name, StepStats(num_running=k, num_decode_tokens=k, step_ns=k * MS, run_ns=k * MS))


def cost(work: Callable[[], object], times: int = 200) -> str:
    taken = []
    for _ in range(times):
        begin = time.thread_time_ns()
        work()
        taken.append(time.thread_time_ns() - begin)
    taken.sort()
    return f"median {taken[times // 2] / MS:.3f}, 90th percentile {taken[times * 9 // 10] / MS:.3f}"


def look(history: History) -> bytes:
    """What is made for all browsers."""
    history.take()
    return json.dumps([history.point(), history.board()]).encode()


def main() -> None:
    for vllm, triton in itertools.product((False, True), repeat=2):
        metrics = Metrics(vllm_names=vllm, triton_names=triton)
        fill(metrics)
        also = ", vLLM's names" * vllm + ", Triton's names" * triton
        print(f"/metrics{also}: {len(metrics.render()[0]):,} bytes, {cost(metrics.render)}")
    print(f"/metrics/load: {len(metrics.render_load()[0]):,} bytes, {cost(metrics.render_load)}")
    metrics = Metrics()
    fill(metrics)
    history = History(metrics.counts, time.monotonic)
    print(f"the live page, every five seconds while nobody looks: {cost(history.take)}")
    print(f"the live page, every second while somebody looks: {cost(lambda: look(history))}")
    registry = CollectorRegistry()
    fill(Metrics(registry))
    print(f"the library's own page: {cost(lambda: generate_latest(registry))}")


if __name__ == "__main__":
    main()
