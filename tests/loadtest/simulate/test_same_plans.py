"""In thought the same is computed as for real: a real engine over the same pool gets the same plans, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from attendant.core.plan import Move, StepOutput, StepPlan
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.engine.scheduler import Scheduler
from attendant_loadtest.schedule.planned import Planned, Segment
from attendant_loadtest.simulate.outcomes import Log
from attendant_loadtest.simulate.replica import TOKEN, FakeClock, Replica, tokens_of
from attendant_loadtest.simulate.subject import Shape

from tests.loadtest.simulate.subjects import PAGES, SCARCE, SLOTS, subject

Told = tuple[list[tuple[str, int, int]], list[tuple[str, int, int, int]], int]


def told(plan: StepPlan) -> Told:
    """Who decodes where, which chunks of whose prompts, how many rows are run for nothing."""
    return (
        [(chunk.request_id, chunk.slot, chunk.start) for chunk in plan.decodes],
        [(chunk.request_id, chunk.slot, chunk.start, len(chunk.tokens)) for chunk in plan.prefills],
        len(plan.fillers),
    )


class Watching:
    """A runner that says the same as every model in thought, and writes down what it was asked."""

    def __init__(self) -> None:
        self.plans: list[Told] = []

    def move(self, moves: Sequence[Move]) -> None:
        """Nothing."""

    def run(self, plan: StepPlan) -> StepOutput:
        """A token for each order."""
        self.plans.append(told(plan))
        return StepOutput({c.request_id: TOKEN for c in (*plan.decodes, *plan.prefills) if c.sample}, {}, {}, 0)


@pytest.mark.parametrize("shape", [SLOTS, PAGES, SCARCE], ids=["slots", "pages", "scarce"])
def test_a_real_engine_decides_the_same(shape: Shape) -> None:
    rng = np.random.default_rng(4)
    come: dict[int, list[Planned]] = {}  # by the step before which they come
    for number in range(40):
        beginning = Segment(int(rng.integers(3)), int(rng.integers(10, 60)))
        planned = Planned(0.0, (beginning, Segment(100 + number, int(rng.integers(1, 70)))), int(rng.integers(1, 90)))
        come.setdefault(int(rng.integers(0, 60)), []).append(planned)

    real, runner = Scheduler(shape.pool(), shape.limits()), Watching()
    engine = Engine(real, runner)
    clock, log = FakeClock(), Log(40)
    replica, thought = Replica(0, subject(shape), clock, log), []
    number = step = 0
    while step < 60 or engine.has_work:
        for planned in come.pop(step, []):
            params = SamplingParams(max_tokens=planned.answer, ignore_eos=True)
            engine.submit(Request(str(number), tokens_of(planned.segments), params, clock.now_ns + number))
            assert replica.come(number, planned)
            number += 1
        if engine.has_work:
            engine.step()
            ends_ns = replica.begin()
            assert ends_ns is not None
            clock.now_ns = ends_ns
            thought.append(told(replica.end()))
            assert thought[-1] == runner.plans[-1], f"step {step}"
        step += 1
    assert number == 40
    assert real.num_preemptions == replica.scheduler.num_preemptions
    assert (real.num_preemptions > 0) == (shape is SCARCE)
    assert real.pool.prefix_stats == replica.scheduler.pool.prefix_stats
    assert real.pool.prefix_stats.hits > 0
