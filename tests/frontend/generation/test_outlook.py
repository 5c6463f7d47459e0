"""What is foreseen for a newcomer beside a caller with many requests."""

from __future__ import annotations

import time

import pytest
from attendant.core.events import FinishedEvent, StepReport, StepStats
from attendant.core.fair_order import OrderRules
from attendant.core.pace import Pace
from attendant.core.request import FinishReason, Timings, Usage
from attendant.engine.facts import EngineFacts
from attendant.engine.step_rules import StepRules
from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.outlook import Outlook
from attendant.frontend.generation.tracked import Tracked

PACE = Pace(step=5e-3, prompts=2e-3, prompt_token=5e-4, row=1e-3, num_steps=100)
RULES = StepRules(max_num_seqs=8, max_num_batched_tokens=264, spare_seqs=2)


def tracked(tenant: str) -> Tracked:
    return Tracked(40, 16, 16, 0, 1, None, ends_hopeless=False, tenant=tenant)


def outlook(order: OrderRules | None = None) -> Outlook:
    """Beside 200 requests of one caller."""
    found = Outlook(EngineFacts("m", 8, 2048, 1 << 20, 1, RULES, PACE), AnswerLengths(), order or OrderRules())
    for number in range(200):
        found.submitted(str(number), tracked("heavy"))
    return found


def first_s(found: Outlook, tenant: str, number: int = 1) -> float:
    return found.foresee([tracked(tenant)] * number, time.monotonic_ns())[0]


ALONE_S = PACE.step + PACE.prompt_s(0, 40)


def test_a_light_callers_prompt_is_foreseen_before_those_who_wait_and_by_itself() -> None:
    found = outlook()
    assert first_s(found, "light") == pytest.approx(ALONE_S)
    assert first_s(found, "heavy") > 2
    for number in range(6):
        found.submitted(f"light{number}", tracked("light"))
    assert first_s(found, "light") > 2 * ALONE_S, "it has as many as its share"


def test_in_no_run_of_its_own_where_that_is_turned_off() -> None:
    assert first_s(outlook(OrderRules(light_first=False)), "light") > 2 * ALONE_S


def test_what_has_ended_counts_no_longer() -> None:
    found = outlook()
    for number in range(6):
        found.submitted(f"light{number}", tracked("light"))
    usage, timings = Usage(40, 0, 16), Timings(0, 0, 0, 0, 0)
    ends = tuple(FinishedEvent(f"light{number}", FinishReason.LENGTH, usage, timings) for number in range(6))
    found.take(StepReport(ends, StepStats(), time.monotonic_ns(), PACE))
    assert first_s(found, "light") == pytest.approx(ALONE_S, abs=0.001)
