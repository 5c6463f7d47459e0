"""Check 3: how long the engine's steps take, against what the memory allows."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attendant.core.sampling import SamplingParams
from attendant.settings import EngineSettings, GpuSettings

from attendant_loadtest.bench.workload import Workload
from attendant_loadtest.gpu.driver import Driver, greedy
from attendant_loadtest.gpu.shapes import Sizes

_WARM_UP_STEPS = 8


def engine_settings(sizes: Sizes) -> EngineSettings:
    """The settings of the engines whose speed is measured, here and behind the server."""
    return EngineSettings(
        max_num_seqs=max(*sizes.batches, sizes.streams),
        max_context_length=sizes.speed_context,
        threads=sizes.threads,
        spinning=sizes.threads is None,
    )


def measure_engine(bundle: Path, sizes: Sizes, *, cuda_graphs: bool) -> dict[str, Any]:
    """Decode at every batch, prefill at every length and the streams of check 4, in process."""
    driver = Driver(bundle, engine_settings(sizes), GpuSettings(cuda_graphs=cuda_graphs))
    bench = _Bench(driver, sizes)
    gc.collect()
    gc.freeze()  # as the server does
    return {
        "cuda_graphs": cuda_graphs,
        "load_s": driver.load_s,
        "kv_capacity_tokens": driver.engine.kv_capacity_tokens,
        "notes": driver.notes,
        "decode": [bench.decode(batch) for batch in sizes.batches],
        "prefill": [bench.prefill(length) for length in sizes.prefills],
        "streams": bench.streams(),
    }


def host_work(bundle: Path, sizes: Sizes) -> list[dict[str, float]]:
    """What the host does in a decode step of each batch, measured with a model that takes no time."""
    from attendant_loadtest.bench.host import measure, with_runner

    found = []
    for batch in sizes.batches:
        params = greedy(sizes.decode_steps + 200)
        nanoseconds = measure(with_runner(bundle, batch), batch, sizes.decode_steps, 0, params)
        found.append({"batch": batch, "host_us": nanoseconds / 1e3})
    return found


class _Bench:
    """Measurements over one engine."""

    def __init__(self, driver: Driver, sizes: Sizes) -> None:
        self._driver = driver
        self._sizes = sizes
        self._random = np.random.default_rng(2)

    def decode(self, batch: int) -> dict[str, float]:
        """Steps in which ``batch`` sequences each get a token, and none a prompt.

        ``begin_us``: until the run is launched, when the device has nothing to do. ``outside_run_us``: scheduling and
        committing. ``mean_length``: of the sequences, in positions that a step reads.
        """
        driver, sizes = self._driver, self._sizes
        params = greedy(sizes.speed_context - sizes.prompt)
        for _ in range(batch):
            driver.submit(self._prompt(sizes.prompt), params)
        while driver.step().num_decode_tokens < batch:
            pass
        for _ in range(_WARM_UP_STEPS):
            driver.step()
        steps, begins, outside, lengths = [], [], [], []
        for _ in range(sizes.decode_steps):
            lengths.append(driver.lengths())
            started = time.perf_counter()
            driver.engine.begin()
            begun = time.perf_counter()
            report = driver.engine.finish()
            ended = time.perf_counter()
            driver.take(report.events)
            stats = report.stats
            assert (stats.num_decode_tokens, stats.num_prefill_tokens) == (batch, 0), "a step of pure decodes"
            steps.append(ended - started)
            begins.append(begun - started)
            outside.append((stats.step_ns - stats.run_ns) / 1e9)
        driver.cancel_all()
        step = statistics.median(steps)
        return {
            "batch": batch,
            "step_ms": step * 1e3,
            "step_p99_ms": float(np.quantile(steps, 0.99)) * 1e3,
            "tokens_per_s": batch * len(steps) / sum(steps),
            "begin_us": statistics.median(begins) * 1e6,
            "outside_run_us": statistics.median(outside) * 1e6,
            "mean_length": sum(lengths) / len(lengths) / batch,
        }

    def prefill(self, length: int) -> dict[str, float]:
        """The time from a prompt's submission to its first token, on an idle engine."""
        times = []
        for _ in range(self._sizes.repeats + 1):
            prompt = self._prompt(length)
            started = time.perf_counter()
            self._driver.submit(prompt, greedy(1))
            self._driver.drain()
            times.append(time.perf_counter() - started)
            self._driver.answers.clear()
        median = statistics.median(times[1:])
        return {"tokens": length, "ms": median * 1e3, "tokens_per_s": length / median}

    def streams(self) -> dict[str, float]:
        """The workload of the real server, a new request for each that ends."""
        driver, sizes = self._driver, self._sizes
        work = stream_workload(sizes, driver.manifest.vocab_size, seed=0)
        prompts, params = iter(work.prompts()), greedy(work.new_tokens)
        started = time.perf_counter()
        live = set(self._submit_some(prompts, params, work.concurrency))
        while live:
            driver.step()
            ended = {request_id for request_id in live if driver.answers[request_id].done}
            live = (live - ended) | set(self._submit_some(prompts, params, len(ended)))
        wall_s = time.perf_counter() - started
        driver.answers.clear()
        generated = work.num_requests * work.new_tokens
        return {"tokens_per_s": generated / wall_s, "generated": generated, "wall_s": wall_s}

    def _submit_some(self, prompts: Iterator[list[int]], params: SamplingParams, count: int) -> Iterator[str]:
        for _, prompt in zip(range(count), prompts, strict=False):
            yield self._driver.submit(prompt, params)

    def _prompt(self, length: int) -> list[int]:
        tokens: list[int] = self._random.integers(3, self._driver.manifest.vocab_size, length).tolist()
        return tokens


def stream_workload(sizes: Sizes, vocabulary: int, seed: int) -> Workload:
    """Closed loops of ``sizes.streams`` requests."""
    waves = sizes.streams * sizes.stream_waves
    return Workload(sizes.streams, waves, sizes.stream_prompt, sizes.stream_tokens, vocabulary, seed)


def add_roofline(
    decode: list[dict[str, Any]],
    weight_bytes: int,
    kv_bytes: int,
    bytes_per_s: float,
    host: Sequence[Mapping[str, float]],
) -> None:
    """Adds to each decode measurement what a step must read, and which share of its time that and the host take.

    Args:
        weight_bytes: that every step reads. kv_bytes: of a position of one sequence. bytes_per_s: of the memory.
        host: of :func:`host_work`.
    """
    host_us = {row["batch"]: row["host_us"] for row in host}
    for row in decode:
        row["bytes_per_step"] = weight_bytes + row["batch"] * row["mean_length"] * kv_bytes
        row["roofline_share"] = row["bytes_per_step"] / bytes_per_s / (row["step_ms"] / 1e3)
        row["host_us"] = host_us[row["batch"]]
        row["host_share"] = row["host_us"] / 1e3 / row["step_ms"]
