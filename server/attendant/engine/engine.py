"""One step of generation: schedule, run, commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Protocol

from attendant.core.errors import StepFailed
from attendant.core.events import EngineEvent, StepStats
from attendant.core.plan import KVMove, StepOutput, StepPlan
from attendant.core.request import Request
from attendant.engine.scheduler import Scheduler

logger = logging.getLogger(__name__)


class Runner(Protocol):
    """The hands of the engine."""

    def move(self, moves: SequenceOf[KVMove]) -> None:
        """Carry out KV cache moves, in order. Raising is fatal to the engine: the cache would be unknown."""
        ...

    def run(self, plan: StepPlan) -> StepOutput:
        """Run the plan's chunks and sample. May raise; the cache up to what was committed must stay intact."""
        ...


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step tells the world."""

    events: tuple[EngineEvent, ...]
    stats: StepStats


class Engine:
    """Continuous batching over one model. Not thread safe: one thread owns it."""

    def __init__(self, scheduler: Scheduler, runner: Runner) -> None:
        self._scheduler = scheduler
        self._runner = runner

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    def submit(self, request: Request) -> None:
        """Take a request in. Its ids are unique, its prompt and parameters validated at the door."""
        self._scheduler.submit(request)

    def cancel(self, request_id: str) -> None:
        """End a request; its memory is free for the next step. An unknown id is one that has ended already."""
        self._scheduler.cancel(request_id, time.monotonic_ns())

    def step(self) -> StepReport:
        """Advance every running request by one step."""
        started = time.monotonic_ns()
        before, prefix = self._scheduler.num_preemptions, self._scheduler.pool.prefix_stats
        plan = self._scheduler.schedule(started)
        assert plan or not self.has_work, "work is left but none of it can be scheduled"
        run_ns = self._run(plan) if plan else 0
        return self._report(plan, before, prefix.queries, prefix.hits, started, run_ns)

    def _run(self, plan: StepPlan) -> int:
        self._runner.move(plan.moves)
        try:
            output = self._runner.run(plan)
        except Exception as error:  # supervision point: a failed run costs its own requests and nothing else
            logger.exception("a step with %d requests failed", len(plan.decodes) + len(plan.prefills))
            failed = StepFailed("the model run that carried this request failed; the server's log has the cause")
            failed.__cause__ = error
            self._scheduler.fail(plan, failed, time.monotonic_ns())
            return 0
        self._scheduler.commit(plan, output, time.monotonic_ns())
        return output.run_ns

    def _report(
        self, plan: StepPlan, preemptions: int, queries: int, hits: int, started: int, run_ns: int
    ) -> StepReport:
        scheduler = self._scheduler
        prefix = scheduler.pool.prefix_stats
        stats = StepStats(
            num_running=scheduler.num_running,
            num_waiting=scheduler.num_waiting,
            num_prefill_tokens=sum(len(chunk.tokens) for chunk in plan.prefills),
            num_decode_tokens=len(plan.decodes),
            num_preemptions=scheduler.num_preemptions - preemptions,
            prefix_queries=prefix.queries - queries,
            prefix_hits=prefix.hits - hits,
            kv_used_tokens=scheduler.pool.used_tokens,
            kv_capacity_tokens=scheduler.pool.capacity_tokens,
            step_ns=time.monotonic_ns() - started,
            run_ns=run_ns,
        )
        return StepReport(scheduler.take_events(), stats)
