"""The engine without a server: one thread that submits and steps, as many requests at a time as the workload says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from attendant.core.events import FailedEvent, FinishedEvent, StepStats
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.models.generators import GeneratorPart

from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.workload import Workload


class TimedSession:
    """An ONNX Runtime session that adds up the time spent in its runs."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.run_ns = 0

    @classmethod
    def inside(cls, model: GeneratorPart) -> TimedSession:
        """Put one between a model's runner and its session."""
        runner: Any = model.engines[0]._runner
        timed = cls(runner._session)
        if runner._prompt_session is runner._session:
            runner._prompt_session = timed
        runner._session = timed
        return timed

    def io_binding(self) -> Any:
        """A new binding of the session."""
        return self.session.io_binding()

    def run_with_iobinding(self, binding: Any) -> None:
        """Run, on the clock."""
        started = time.perf_counter_ns()
        self.session.run_with_iobinding(binding)
        self.run_ns += time.perf_counter_ns() - started


class InProcessEngine:
    """Drives the engine of a loaded model."""

    def __init__(self, model: GeneratorPart) -> None:
        self._engine = model.engines[0]
        self.timed = TimedSession.inside(model)
        self._ids = 0

    def measure(self, workload: Workload) -> Measurement:
        """Run the workload, a new request for each that ends."""
        params = SamplingParams(max_tokens=workload.new_tokens, ignore_eos=True)
        prompts = [tuple(prompt) for prompt in workload.prompts()]
        waiting = iter(prompts)
        self.timed.run_ns = 0
        started = time.perf_counter()
        for _ in range(min(workload.concurrency, len(prompts))):
            self._submit(next(waiting), params)
        all_stats = list(self._steps(waiting, params))
        wall_s = time.perf_counter() - started
        return Measurement(
            generated=len(prompts) * workload.new_tokens,
            prompt=sum(stats.num_prefill_tokens for stats in all_stats),
            wall_s=wall_s,
            figures=self._figures(all_stats, wall_s),
        )

    def _steps(self, waiting: Iterator[tuple[int, ...]], params: SamplingParams) -> Iterator[StepStats]:
        while self._engine.has_work:
            report = self._engine.step()
            for event in report.events:
                if isinstance(event, FailedEvent):
                    raise event.error
                if isinstance(event, FinishedEvent) and (prompt := next(waiting, None)) is not None:
                    self._submit(prompt, params)
            yield report.stats

    def _submit(self, prompt: tuple[int, ...], params: SamplingParams) -> None:
        self._ids += 1
        self._engine.submit(Request(f"bench-{self._ids}", prompt, params, time.monotonic_ns()))

    def _figures(self, all_stats: list[StepStats], wall_s: float) -> dict[str, float]:
        """Host work is everything outside ONNX Runtime's runs; a sequence-step is one sequence in one step."""
        host_us = wall_s * 1e6 - self.timed.run_ns / 1e3
        sequence_steps = sum(stats.num_running or 1 for stats in all_stats)
        decode_rows = [stats.num_decode_tokens for stats in all_stats if stats.num_decode_tokens]
        return {
            "host_us_per_step": host_us / len(all_stats),
            "host_us_per_sequence_step": host_us / sequence_steps,
            "decode_batch": sum(decode_rows) / max(1, len(decode_rows)),
        }
