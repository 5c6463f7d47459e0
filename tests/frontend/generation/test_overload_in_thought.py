"""More requests than an engine can do, on a clock of the test's own: the real scheduler and forecast, and steps that
take what they say. Nothing here depends on how busy a machine is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from attendant.core.errors import Overloaded
from attendant.core.events import FailedEvent, StepReport, StepStats, TokenEvent
from attendant.core.pace import Pace, StepWork
from attendant.core.plan import StepOutput, StepPlan
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.facts import EngineFacts
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pace_learner import PaceLearner
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from attendant.engine.step_rules import StepRules
from attendant.frontend.generation.forecast import Forecast
from attendant.metrics import Metrics
from attendant.settings import AdmissionSettings
from prometheus_client import CollectorRegistry

S = 1_000_000_000
SEQS, CONTEXT = 16, 256
PACE = Pace(step=4e-3, prompt_token=2e-4, row=4e-4)


@dataclass
class World:
    """One engine and its clock. ``took_s``: of requests that were answered."""

    answers: tuple[int, int]
    deadline_s: float
    draw: np.random.Generator
    now_ns: int = 10**12
    took_s: list[float] = field(default_factory=list)
    num_late: int = 0
    num_refused: int = 0
    live: dict[str, int] = field(default_factory=dict)
    paces: PaceLearner = field(default_factory=PaceLearner)

    def __post_init__(self) -> None:
        pool = SlotPool(SEQS, CONTEXT, SEQS * CONTEXT)
        limits = SchedulerLimits(SEQS, SEQS + 256, CONTEXT, run_cost=0)
        self.scheduler = Scheduler(pool, limits)
        rules = StepRules.of(limits, pool.capacity_tokens, pool.page_tokens)
        facts = EngineFacts("one", SEQS, CONTEXT, pool.capacity_tokens, pool.page_tokens, rules)
        metrics = Metrics(CollectorRegistry())
        metrics.add_model("m")
        self.forecast = Forecast("m", [facts], CONTEXT, AdmissionSettings(), metrics, self)

    def monotonic_ns(self) -> int:
        """The forecast's clock is this one."""
        return self.now_ns

    def perf_counter_ns(self) -> int:
        """Looking ahead takes no time."""
        return self.now_ns

    def comes(self, number: int) -> None:
        """A request comes."""
        prompt = (number + 1, *range(1, int(self.draw.integers(32, 97))))
        answer = int(self.draw.integers(self.answers[0], self.answers[1] + 1))
        params = SamplingParams(max_tokens=answer, ignore_eos=True)
        by_ns = self.now_ns + int(self.deadline_s * S)
        asked = Request(str(number), prompt, params, self.now_ns, by_ns, sure_tokens=answer, ends_hopeless=True)
        try:
            self.forecast.admit(0, asked, 1, inner=False)
        except Overloaded:
            self.num_refused += 1
            return
        self.forecast.submitted(0, asked)
        self.scheduler.submit(asked)
        self.live[asked.id] = self.now_ns

    def begins(self) -> tuple[StepPlan, int] | None:
        """The next step, and how many nanoseconds it takes."""
        if not self.scheduler.num_running and not self.scheduler.num_waiting:
            return None
        plan = self.scheduler.schedule(self.now_ns)
        return plan, int(PACE.seconds(StepWork.of(plan)) * float(self.draw.lognormal(0, 0.05)) * S)

    def ends(self, plan: StepPlan, took_ns: int) -> None:
        """It is over."""
        tokens = {chunk.request_id: 0 for chunk in (*plan.decodes, *plan.prefills) if chunk.sample is not None}
        self.scheduler.commit(plan, StepOutput(tokens, {}, {}, 0), self.now_ns)
        work = StepWork.of(plan)
        self.paces.took(work, took_ns / S)
        events = tuple(self.scheduler.take_events())
        for event in events:
            if not isinstance(event, TokenEvent):
                took_s = (self.now_ns - self.live.pop(event.request_id)) / S
                if isinstance(event, FailedEvent) or took_s > self.deadline_s:
                    self.num_late += 1
                else:
                    self.took_s.append(took_s)
        stats = StepStats(
            num_running=self.scheduler.num_running,
            num_waiting=self.scheduler.num_waiting,
            num_prefill_tokens=work.prompt_tokens,
        )
        self.forecast.take(0, StepReport(events, stats, self.now_ns, self.paces.pace))


@pytest.mark.parametrize(
    ("answers", "deadline_s", "per_s"), [((1, 1), 2.0, 140.0), ((1, 32), 4.0, 90.0)], ids=["one token", "mixed"]
)
def test_promises_hold_and_leave_little_room(answers: tuple[int, int], deadline_s: float, per_s: float) -> None:
    world = World(answers, deadline_s, np.random.default_rng(5))
    seconds, begin_ns = 15.0, world.now_ns
    arrivals = begin_ns + (world.draw.exponential(1 / per_s, int(2 * per_s * seconds)).cumsum() * S).astype(np.int64)
    running: tuple[StepPlan, int] | None = None
    ends_ns = busy_ns = 0
    for number, at in enumerate(arrivals[arrivals < begin_ns + seconds * S]):
        while running is not None and ends_ns <= at:
            world.now_ns = ends_ns
            world.ends(*running)
            busy_ns += running[1]
            running = world.begins()
            ends_ns = world.now_ns + (running[1] if running is not None else 0)
        world.now_ns = int(at)
        world.comes(number)
        if running is None:
            running = world.begins()
            ends_ns = world.now_ns + (running[1] if running is not None else 0)
    answered = len(world.took_s)
    assert world.num_refused > 0.2 * answered
    assert world.num_late / (answered + world.num_late) < 0.02, "few promises are broken"
    assert busy_ns > 0.97 * seconds * S, "no work is left undone"
    assert float(np.median(world.took_s)) > 0.6 * deadline_s, "whoever could be in time is let in, but for the room"
