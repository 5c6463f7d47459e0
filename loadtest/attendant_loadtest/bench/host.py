"""``python -m attendant_loadtest.bench.host``: processor time of a step, with a model that takes no time.

The scheduler runs over each pool with a fake runner; with ``--bundle``, whose KV cache is in pages, the real runner
does all its work, too, and only ONNX Runtime is left out.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from attendant.bundle import KVLayer, read_manifest
from attendant.bundle.graph_io import SAMPLING, CandidateOutputs, grouped
from attendant.core.plan import Move, StepOutput, StepPlan
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts, FreeCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from attendant.runtime.decode_graphs import GraphKeys
from attendant.runtime.devices import Buffer, Bytes, HostDevice
from attendant.runtime.page_cache import PageCache
from attendant.runtime.page_runner import PageRunner, PageSessions
from attendant.runtime.step_inputs import StepShape

CONTEXT = 4096
PROMPT = 64
BLOCK_SIZE = 128
PROMPT_BUDGET = 2048
WARM_UP_STEPS = 20
PEAK = 9.0
"""Largest logit of a model that takes no time."""


class FakeRunner:
    """Answers every sample order with the same token, at once."""

    def move(self, moves: Sequence[Move]) -> None:
        """Nothing to move."""

    def run(self, plan: StepPlan) -> StepOutput:
        """A token for every order."""
        tokens = {chunk.request_id: 7 for chunk in (*plan.decodes, *plan.prefills) if chunk.sample}
        return StepOutput(tokens, {}, {}, 0)


class NoSession:
    """Stands in for ONNX Runtime: every run is over at once. ``io_binding()`` gives itself, which binds nothing."""

    def io_binding(self) -> NoSession:
        """Itself."""
        return self

    def _nothing(self, *arguments: Any) -> None:
        """For whatever a session or a binding is asked to do."""

    bind_input = bind_output = bind_cpu_input = run_with_iobinding = synchronize_outputs = _nothing


class NoDevice(HostDevice):
    """Copies inputs as to a GPU, and leaves the host's picture of the outputs as it is."""

    def download(self, source: Buffer, target: Bytes) -> None:
        """Nothing."""


class SettledRunner(PageRunner):
    """The real runner, whose model always says the same: each run leaves room for no doubt about the next token."""

    def _sample(self, run: Any, orders: Any) -> Any:
        results: CandidateOutputs[Any] = grouped(CandidateOutputs, run.results)
        if results.top_logits[-1, 0] != PEAK:
            top = np.linspace(PEAK, 1, results.top_logits.shape[1])
            scaled = top[None, :] * np.array(run.arrays[SAMPLING.inverse_temperature.name])[:, None]
            results.top_logits[:] = top
            results.top_ids[:] = np.arange(top.size)
            results.drawn[:] = 0
            results.drawn_logit[:] = PEAK
            results.log_sum[:] = np.log(np.exp(top).sum())
            results.scaled_log_sum[:] = np.log(np.exp(scaled).sum(1))
        return super()._sample(run, orders)


def scheduler_only(batch: int, *, pages: bool) -> Engine:
    """An engine over a fake runner."""
    limits = SchedulerLimits(batch, batch + PROMPT_BUDGET, CONTEXT, rule=AnyCuts() if pages else FreeCuts())
    pool: KVPool = SlotPool(batch, CONTEXT, batch * CONTEXT)
    if pages:
        pool = BlockPool(batch, 1 + batch * CONTEXT // BLOCK_SIZE, BLOCK_SIZE, CONTEXT)
    return Engine(Scheduler(pool, limits), FakeRunner())


def with_runner(bundle: Path, batch: int) -> Engine:
    """An engine over the real runner of a paged bundle, whose model takes no time and always says the same."""
    manifest = read_manifest(bundle)
    num_blocks, columns = 1 + batch * CONTEXT // BLOCK_SIZE, CONTEXT // BLOCK_SIZE
    device, nothing = NoDevice(), cast(Any, NoSession())
    sizes = {"num_blocks": num_blocks, "block_size": BLOCK_SIZE, "num_sequences": batch, "max_blocks": columns}
    layer = KVLayer(num_kv_heads=1, head_size=8, dtype="int8")  # its size does not matter here
    cache = PageCache((layer,), device, nothing, **sizes)
    keys = GraphKeys(batch, columns, BLOCK_SIZE)
    limits = StepShape(batch, batch + PROMPT_BUDGET, batch, columns)
    runner = SettledRunner(PageSessions(nothing, nothing, nothing), manifest, cache, device, limits, keys)
    for number, key in enumerate(keys):
        runner.capture(key, number + 1)
    pool = BlockPool(batch, num_blocks, BLOCK_SIZE, CONTEXT)
    return Engine(Scheduler(pool, SchedulerLimits(batch, batch + PROMPT_BUDGET, CONTEXT, rule=AnyCuts())), runner)


def measure(engine: Engine, batch: int, num_steps: int, waiting: int, params: SamplingParams) -> float:
    """Median nanoseconds of processor time in a step of pure decodes, once ``batch`` sequences run.

    Time that other processes take from this one does not count.

    Args:
        waiting: requests that wait besides.
    """
    started = time.monotonic_ns()
    for number in range(batch + waiting):
        prompt = tuple((number * 31 + position * 7) % 97 for position in range(PROMPT))
        engine.submit(Request(f"r{started}-{number}", prompt, params, started))
    while engine.step().stats.num_running < batch:
        pass
    for _ in range(WARM_UP_STEPS):
        engine.step()
    gc.collect()
    gc.freeze()  # as the server does
    times = []
    for _ in range(num_steps):
        before = time.thread_time_ns()
        report = engine.step()
        times.append(time.thread_time_ns() - before)
        assert report.stats.num_decode_tokens == batch, "a step of pure decodes"
    gc.unfreeze()
    return statistics.median(times)


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m attendant_loadtest.bench.host", description=__doc__)
    parser.add_argument("--batch", type=int, default=256, help="sequences that run (default: 256)")
    parser.add_argument("--waiting", type=int, default=10_000, help="requests that wait besides (default: 10000)")
    parser.add_argument("--steps", type=int, default=100, help="steps of each measurement (default: 100)")
    parser.add_argument("--bundle", type=Path, help="a paged bundle, for its manifest")
    args = parser.parse_args(argv)
    length = args.steps + WARM_UP_STEPS + 200
    greedy = SamplingParams(max_tokens=length, ignore_eos=True)
    print(f"{'':34}{'us a step':>12}{'us a sequence':>16}")
    for pages in (False, True):
        for waiting in (0, args.waiting):
            engine = scheduler_only(args.batch, pages=pages)
            name = f"scheduler, {'pages' if pages else 'slots'}, {waiting:,} waiting"
            _print(name, measure(engine, args.batch, args.steps, waiting, greedy), args.batch)
    if args.bundle:
        for name, params in _kinds(length).items():
            engine = with_runner(args.bundle, args.batch)
            _print(f"all of a step, {name}", measure(engine, args.batch, args.steps, 0, params), args.batch)
    return 0


def _kinds(length: int) -> dict[str, SamplingParams]:
    def params(**fields: Any) -> SamplingParams:
        return SamplingParams(max_tokens=length, ignore_eos=True, **fields)

    return {
        "greedy": params(),
        "temperature": params(temperature=1.0, seed=1),
        "top_p 0.9": params(temperature=0.6, top_p=0.9, seed=1),
    }


def _print(name: str, nanoseconds: float, batch: int) -> None:
    print(f"{name:34}{nanoseconds / 1e3:12,.0f}{nanoseconds / 1e3 / batch:16.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
