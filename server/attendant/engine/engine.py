"""One step of generation: schedule and launch, collect and commit."""

from __future__ import annotations

import time
from dataclasses import dataclass

from attendant.core.errors import EngineDead
from attendant.core.events import StepReport, StepStats
from attendant.core.fair_order import OrderRules
from attendant.core.pace import StepWork
from attendant.core.plan import StepOutput, StepPlan
from attendant.core.request import Request
from attendant.engine.apart import attempt, salvage
from attendant.engine.facts import EngineFacts
from attendant.engine.pool import PrefixStats
from attendant.engine.probe import probe
from attendant.engine.runner import BlockingRunner, LaunchedLate, Runner
from attendant.engine.scheduler import Scheduler
from attendant.engine.step_rules import StepRules


@dataclass(frozen=True, slots=True)
class _Begun:
    """A step between its begin and its finish, and the counters before it. ``error``: what launching it raised."""

    plan: StepPlan
    error: Exception | None
    num_preemptions: int
    prefix: PrefixStats
    started_ns: int


class Engine:
    """Continuous batching over one model. Not thread safe: one thread owns it.

    A step has two halves: between :meth:`begin` and :meth:`finish` the device runs, if the runner has one, and the
    caller may do something else, except call the engine.
    """

    def __init__(self, scheduler: Scheduler, runner: Runner | BlockingRunner) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._hands: Runner = runner if isinstance(runner, Runner) else LaunchedLate(runner)
        self._begun: _Begun | None = None
        self._busy_since_ns = 0  # when the latest step ended, if it left work

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    @property
    def kv_capacity_tokens(self) -> int:
        """Budget of KV memory, in positions of one sequence."""
        return self._scheduler.pool.capacity_tokens

    def facts(self, name: str) -> EngineFacts:
        """What never changes of it, under a name."""
        limits, pool = self._scheduler.limits, self._scheduler.pool
        memory = pool.capacity_tokens, pool.page_tokens
        rules = StepRules.of(limits, *memory)
        return EngineFacts(name, limits.max_num_seqs, limits.context_length, *memory, rules, self._scheduler.paces.pace)

    def order_by(self, rules: OrderRules) -> None:
        """Change the order of requests; to be called before there are any."""
        assert not self.has_work
        self._scheduler.order_by(rules)

    def prepare(self) -> None:
        """Let the runner do what only the thread that owns the engine can. To be called once, by that thread.

        Raises:
            Exception: whatever the device raises; the engine is of no use then.
        """
        self._hands.prepare()

    def submit(self, request: Request) -> None:
        """Take a request in. Its ids are unique, its prompt and parameters validated at the door."""
        assert self._begun is None
        self._scheduler.submit(request)

    def cancel(self, request_id: str) -> None:
        """End a request; its memory is free for the next step. An unknown id is one that has ended already."""
        assert self._begun is None
        self._scheduler.cancel(request_id, time.monotonic_ns())

    def step(self) -> StepReport:
        """Advance every running request by one step."""
        self.begin()
        return self.finish()

    def begin(self) -> None:
        """Decide what the step computes and launch it."""
        assert self._begun is None
        started_ns = time.monotonic_ns()
        scheduler = self._scheduler
        num_preemptions, prefix = scheduler.num_preemptions, scheduler.pool.prefix_stats
        plan = scheduler.schedule(started_ns)
        assert plan or not self.has_work, "work is left but none of it can be scheduled"
        # The pool counts on its moves, also where nothing is left to run: what they moved may be found in the cache.
        self._hands.move(plan.moves)
        error = attempt(lambda: self._hands.launch(plan)) if plan else None
        plan.find_masks()  # while the device runs
        self._begun = _Begun(plan, error, num_preemptions, prefix, started_ns)

    def finish(self) -> StepReport:
        """Wait for the step that was begun, take its tokens in and report.

        If its run failed, its requests run again apart, and only those that fail alone, too, have failed.

        Raises:
            EngineDead: every one of them failed, and so does a run that has nothing to do with them.
        """
        begun, self._begun = self._begun, None
        assert begun is not None
        run_ns = self._collect(begun) if begun.plan else 0
        return self._report(begun, run_ns)

    def check(self) -> None:
        """Assert the invariants of the KV accounting. Meant for idle moments."""
        self._scheduler.pool.check()

    def _collect(self, begun: _Begun) -> int:
        """Take in what the run gave, or what can be saved of it; returns the time inside the model."""
        if begun.error is not None:
            return self._save(begun.plan, begun.error)
        output = attempt(self._hands.collect)
        if isinstance(output, Exception):
            return self._save(begun.plan, output)
        self._scheduler.commit(begun.plan, output, time.monotonic_ns())
        return output.run_ns

    def _save(self, plan: StepPlan, error: Exception) -> int:
        """A failed run costs the requests that fail alone and nothing else."""
        pool = self._scheduler.pool
        saved = salvage(self._run, plan, error, contiguous=pool.contiguous_rows)
        self._scheduler.commit(plan, saved.output, time.monotonic_ns(), saved.blamed)
        if len(saved.blamed) == len(plan.requests):
            self._look_after_all_failed()
        return saved.output.run_ns

    def _run(self, plan: StepPlan) -> StepOutput:
        self._hands.launch(plan)
        return self._hands.collect()

    def _look_after_all_failed(self) -> None:
        error = attempt(lambda: probe(self._scheduler.pool, self._hands))
        if error is not None:  # nothing that is asked of this engine can run any more
            raise EngineDead(f"the model cannot run any more: {error}") from error

    def _report(self, begun: _Begun, run_ns: int) -> StepReport:
        scheduler, pool = self._scheduler, self._scheduler.pool
        prefix = pool.prefix_stats
        now_ns = time.monotonic_ns()
        served = scheduler.take_served()
        stats = StepStats(
            num_running=scheduler.num_running,
            num_waiting=scheduler.num_waiting,
            num_fed_tokens=sum(feed.size for feed in begun.plan.feeds),
            num_prefill_tokens=sum(len(chunk.tokens) for chunk in begun.plan.prefills),
            num_decode_tokens=len(begun.plan.decodes),
            num_preemptions=scheduler.num_preemptions - begun.num_preemptions,
            prefix_queries=prefix.queries - begun.prefix.queries,
            prefix_hits=prefix.hits - begun.prefix.hits,
            kv_used_tokens=pool.used_tokens,
            kv_capacity_tokens=pool.capacity_tokens,
            step_ns=now_ns - begun.started_ns,
            run_ns=run_ns,
            served=served,
            evenness=scheduler.evenness(served, now_ns),
        )
        if begun.plan and begun.error is None:
            from_ns = self._busy_since_ns or begun.started_ns
            scheduler.paces.took(StepWork.of(begun.plan), (now_ns - from_ns) / 1e9)
        self._busy_since_ns = now_ns if self.has_work else 0
        return StepReport(scheduler.take_events(), stats, now_ns, scheduler.paces.pace)
