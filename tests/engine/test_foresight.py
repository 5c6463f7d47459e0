"""What is foreseen is what the real scheduler then does, at the same pace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from attendant.core.events import TokenEvent
from attendant.core.pace import Pace, StepWork
from attendant.core.plan import StepOutput
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts, ChunkRule, FixedCuts, FreeCuts
from attendant.engine.foresight import Foresight
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from attendant.engine.step_rules import Course, StepRules
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import request

CONTEXT = 512
PACE = Pace(step=5e-3, prompts=2e-3, prompt_token=5e-4, attended=2e-7, row=1e-3, context=1e-6)

Load = list[tuple[int, int]]
"""Tokens of prompt and answer of each sequence, in order of arrival."""


@dataclass
class Happened:
    """What the real scheduler does with a load, by a clock that follows the pace."""

    scheduler: Scheduler
    now_s: float = 0.0
    first_s: dict[str, float] = field(default_factory=dict)
    end_s: dict[str, float] = field(default_factory=dict)

    def run(self, load: Load, more: Load, steps_before: int) -> None:
        """``more`` comes after so many steps."""
        self._submit(load, 0)
        for number in range(100_000):
            if number == steps_before:
                self._submit(more, len(load))
            if not self._step() and number >= steps_before:
                return
        raise AssertionError("it does not end")

    def _submit(self, load: Load, first: int, tenant: str = "") -> None:
        for number, (prompt, answer) in enumerate(load, first):
            tokens = [1000 + number] * prompt  # no two begin alike
            self.scheduler.submit(replace(request(str(number), tokens, answer, ignore_eos=True), tenant=tenant))

    def run_steps(self, load: Load, first: int, tenant: str, steps: int) -> None:
        """So many steps after a tenant's load came, whose numbers begin with ``first``."""
        self._submit(load, first, tenant)
        for _ in range(steps):
            self._step()

    def _step(self) -> bool:
        plan = self.scheduler.schedule(0)
        if not plan:
            return False
        self.now_s += PACE.seconds(StepWork.of(plan)._replace(rows=len(plan.decodes)))
        chunks = (*plan.decodes, *plan.prefills)
        self.scheduler.commit(plan, StepOutput({c.request_id: 7 for c in chunks if c.sample}, {}, {}, 0), 0)
        for event in self.scheduler.take_events():
            if isinstance(event, TokenEvent):
                self.first_s.setdefault(event.request_id, self.now_s)
            else:
                self.end_s[event.request_id] = self.now_s
        return True


def scheduler_of(
    rule: ChunkRule, num_seqs: int, budget: int, *, apart: bool, run_cost: int | None, kv: int, spare: int = 0
) -> Scheduler:
    pool: KVPool
    if isinstance(rule, AnyCuts):
        pool = BlockPool(num_seqs + spare, 1 + kv // 16, 16, CONTEXT, prefix_cache=False)
    else:
        pool = SlotPool(num_seqs + spare, CONTEXT, kv, page_tokens=16, rule=rule, prefix_cache=False)
    return Scheduler(pool, SchedulerLimits(num_seqs, budget, CONTEXT, (), rule, apart, run_cost, spare_seqs=spare))


def foreseen(scheduler: Scheduler, load: Load) -> Foresight:
    rules = StepRules.of(scheduler.limits, scheduler.pool.capacity_tokens, scheduler.pool.page_tokens)
    future = Foresight(rules, PACE, [course_of(*each) for each in load])
    future.run()
    return future


def course_of(prompt: int, answer: int) -> Course:
    return Course(0 if prompt == 1 else prompt, 0, answer, least=answer)


LOADS = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 120)), min_size=1, max_size=8)
RULES = st.sampled_from([FreeCuts((16,)), FixedCuts(128), AnyCuts()])


@settings(max_examples=40, deadline=None)
@given(LOADS, RULES, st.integers(1, 8), st.integers(3, 300), st.booleans(), st.sampled_from([0, 32, None]))
def test_with_memory_enough_the_future_comes_as_it_was_foreseen(
    load: Load, rule: ChunkRule, num_seqs: int, budget: int, apart: bool, run_cost: int | None
) -> None:
    scheduler = scheduler_of(rule, num_seqs, num_seqs + budget, apart=apart, run_cost=run_cost, kv=num_seqs * CONTEXT)
    future = foreseen(scheduler, load)
    real = Happened(scheduler)
    real.run(load, [], 0)
    for number in range(len(load)):
        # A tile with a single row is never left: a chunk may be a token or two shorter than it is taken for.
        tolerance = 0.02 * real.end_s[str(number)] + 0.005
        assert future.first_s[number] == pytest.approx(real.first_s[str(number)], abs=tolerance)
        assert future.end_s[number] == pytest.approx(real.end_s[str(number)], abs=tolerance)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("rule", [FreeCuts((16,)), AnyCuts()])
@pytest.mark.parametrize(("prompt", "answer"), [(30, 40), (100, 6)])
def test_a_light_tenant_is_foreseen_before_those_that_wait(
    rule: ChunkRule, prompt: int, answer: int, *, apart: bool
) -> None:
    scheduler = scheduler_of(rule, 4, 4 + 64, apart=apart, run_cost=32, kv=8 * CONTEXT, spare=1)
    rules = StepRules.of(scheduler.limits, 8 * CONTEXT, scheduler.pool.page_tokens)
    heavy = [(prompt, answer)] * 30
    real, future = Happened(scheduler), Foresight(rules, PACE, [course_of(*each) for each in heavy])
    real.run_steps(heavy, 0, "heavy", 25)
    future.run_to(real.now_s)
    came_s, foreseen_came_s = real.now_s, future.now_s  # a step apart at most: it comes between two steps
    number = future.add(course_of(20, 3)._replace(light=True))
    real.run_steps([(20, 3)], 30, "light", 12)
    future.run()
    assert "30" in real.end_s
    assert future.first_s[number] - foreseen_came_s == pytest.approx(real.first_s["30"] - came_s, rel=0.01)
    assert future.end_s[number] - foreseen_came_s == pytest.approx(real.end_s["30"] - came_s, rel=0.3)
