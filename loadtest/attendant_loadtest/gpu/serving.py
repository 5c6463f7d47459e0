"""Check 4: the real server over gRPC, for minutes: how fast, and whether its memory grows."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attendant.bundle import read_manifest

from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.served import served
from attendant_loadtest.gpu.machine import device_memory_used, resident_bytes
from attendant_loadtest.gpu.shapes import Sizes
from attendant_loadtest.gpu.speed import engine_settings, stream_workload

_LATENCIES = ("first_token_p50_ms", "first_token_p99_ms", "inter_token_p50_ms", "inter_token_p99_ms")
_COSTS = ("tokens_per_message", "server_us_per_token", "client_us_per_token")
_MOST_SAMPLES = 120


def check_serving(bundle: Path, sizes: Sizes, minutes: float, *, on_gpu: bool) -> dict[str, Any]:
    """Serve ``bundle`` and keep ``sizes.streams`` requests going; one measurement warms up and does not count.

    Figures are medians over the measurements. ``memory``: samples of the server's resident memory and of the device's
    memory in use, in bytes, by seconds since the warm-up.
    """
    vocabulary = read_manifest(bundle).vocab_size
    with served(bundle, _arguments(sizes)) as server:
        server.measure(stream_workload(sizes, vocabulary, seed=1))
        started, measurements = time.monotonic(), list[Measurement]()
        with _watched(server.pids[0], minutes, on_gpu=on_gpu) as samples:
            while time.monotonic() - started < 60 * minutes or len(measurements) < 2:
                measurements.append(server.measure(stream_workload(sizes, vocabulary, seed=2 + len(measurements))))
        seconds = time.monotonic() - started
    figures = {name: statistics.median(m.figures[name] for m in measurements) for name in (*_LATENCIES, *_COSTS)}
    return {
        "ok": True,
        "streams": sizes.streams,
        "prompt_tokens": sizes.stream_prompt,
        "new_tokens": sizes.stream_tokens,
        "seconds": seconds,
        "measurements": len(measurements),
        "generated": sum(m.generated for m in measurements),
        "tokens_per_s": statistics.median(m.tokens_per_s for m in measurements),
        "least_tokens_per_s": min(m.tokens_per_s for m in measurements),
        **figures,
        "worst_inter_token_p99_ms": max(m.figures["inter_token_p99_ms"] for m in measurements),
        "resident_bytes": samples[-1]["resident_bytes"],
        "resident_growth_bytes": samples[-1]["resident_bytes"] - samples[0]["resident_bytes"],
        "device_bytes": samples[-1].get("device_bytes"),
        "device_growth_bytes": samples[-1].get("device_bytes", 0) - samples[0].get("device_bytes", 0),
        "memory": samples,
    }


def _arguments(sizes: Sizes) -> list[str]:
    settings = engine_settings(sizes)
    arguments = ["--engine.max-num-seqs", str(settings.max_num_seqs)]
    arguments += ["--engine.max-context-length", str(settings.max_context_length), "--no-verify-bundles"]
    if settings.threads is not None:
        arguments += ["--engine.threads", str(settings.threads), "--no-engine.spinning"]
    return arguments


@contextmanager
def _watched(pid: int, minutes: float, *, on_gpu: bool) -> Iterator[list[dict[str, float]]]:
    """Gives a list that memory samples are added to meanwhile, one at the beginning and one at the end."""
    started, stop, samples = time.monotonic(), threading.Event(), list[dict[str, float]]()

    def sample() -> None:
        found: dict[str, float] = {"s": time.monotonic() - started, "resident_bytes": resident_bytes(pid)}
        if on_gpu:
            found["device_bytes"] = device_memory_used()
        samples.append(found)

    def watch() -> None:
        while not stop.wait(max(0.2, 60 * minutes / _MOST_SAMPLES)):
            sample()

    sample()
    thread = threading.Thread(target=watch, name="memory-samples", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
        sample()
