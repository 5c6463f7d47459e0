"""What would be with more replicas, another budget, other balancers: a run in thought for each combination."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.schedule.arrivals import Arrivals
from attendant_loadtest.schedule.mix import Mix, plan, requests
from attendant_loadtest.schedule.planned import Schedule
from attendant_loadtest.simulate.outcomes import Figures, figures
from attendant_loadtest.simulate.subject import Subject
from attendant_loadtest.simulate.world import Fleet, run

MANY = 1_000
"""Requests that come at once, to see how fast they are done."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is varied; every combination is tried.

    Attributes:
        replicas: how many. budgets: tokens of a step at most; None: as it was measured.
        balancers, affinity: see Fleet.
        rates: requests a second, of all replicas together; empty: ``loads``.
        loads: shares of what the replicas can do if nothing is shared by prompts.
    """

    replicas: Sequence[int] = (1,)
    budgets: Sequence[int | None] = (None,)
    balancers: Sequence[str] = ("round-robin",)
    affinity: Sequence[bool] = (False,)
    rates: Sequence[float] = ()
    loads: Sequence[float] = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1)


@dataclass(frozen=True, slots=True)
class Answer:
    """One combination, and what came of it. ``rate``: requests a second that came."""

    replicas: int
    budget: int
    balancer: str
    affinity: bool
    rate: float
    figures: Figures


@dataclass(frozen=True, slots=True)
class Coming:
    """Requests as they will come, at any rate, for so many seconds, or so many of them if ``number`` is given."""

    mix: Mix
    arrivals: Callable[[float], Arrivals]
    seconds: float
    number: int | None = None
    seed: int = 1

    def at(self, per_s: float) -> Schedule:
        """So many a second."""
        seconds = self.seconds if self.number is None else 1.2 * self.number / per_s + 60 / per_s
        return plan(self.arrivals(per_s), self.mix, seconds, self.seed)[: self.number]


def capacity_per_s(subject: Subject, mix: Mix, seed: int) -> float:
    """Requests like that which an engine that always has enough of them does in a second, in thought."""
    schedule = requests(mix, [0.0] * MANY, seed)
    many = replace(subject, shape=replace(subject.shape, max_queue=MANY))
    ends = np.sort(np.array(run(many, schedule, Fleet(), seed).end_ns)) / 1e9
    return 0.8 * MANY / float(ends[int(0.9 * MANY)] - ends[int(0.1 * MANY)])


def answers(
    subject: Subject, coming: Coming | Schedule, question: Question, fleet: Fleet, objective: Objective | None
) -> Iterator[Answer]:
    """One after another, as they are found.

    Args:
        coming: or the very requests; then rates and loads say nothing.
        fleet: what is not varied.

    Raises:
        BadSubject, BadSchedule
    """
    per_s: dict[int | None, float] = {}
    for budget, replicas in itertools.product(question.budgets, question.replicas):
        asked = subject if budget is None else replace(subject, shape=subject.shape.with_budget(budget))
        if isinstance(coming, Coming) and not question.rates and budget not in per_s:
            per_s[budget] = capacity_per_s(asked, replace(coming.mix, deadline_s=None, cancels=0.0), coming.seed)
        for schedule, balancer, affinity in itertools.product(
            _schedules(coming, question, replicas * per_s.get(budget, 0.0)), question.balancers, question.affinity
        ):
            tried = replace(fleet, replicas=replicas, balancer=balancer, affinity=affinity)
            log = run(asked, schedule, tried, coming.seed if isinstance(coming, Coming) else 1)
            told = figures(log, schedule, replicas, objective)
            rate = (len(schedule) - 1) / max(schedule[-1].at_s - schedule[0].at_s, 1e-9)
            yield Answer(replicas, asked.shape.max_num_batched_tokens, balancer, affinity, rate, told)


def _schedules(coming: Coming | Schedule, question: Question, per_s: float) -> Iterator[Schedule]:
    if not isinstance(coming, Coming):
        yield coming
        return
    yield from map(coming.at, question.rates or [load * per_s for load in question.loads])
