"""What is foreseen for a newcomer beside a caller with many requests."""

from __future__ import annotations

import time
from dataclasses import replace

from attendant.core.events import FinishedEvent, StepReport, StepStats
from attendant.core.pace import Pace
from attendant.core.request import FinishReason, Timings, Usage
from attendant.engine.facts import EngineFacts
from attendant.engine.step_rules import StepRules
from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.outlook import Outlook
from attendant.frontend.generation.tracked import Tracked

PACE = Pace(step=5e-3, prompts=2e-3, prompt_token=5e-4, row=1e-3, num_steps=100)
RULES = StepRules(max_num_seqs=8, max_num_batched_tokens=264, spare_seqs=2, light_first=True)


def tracked(tenant: str) -> Tracked:
    return Tracked(40, 16, 16, 0, 1, None, ends_hopeless=False, tenant=tenant)


def outlook(rules: StepRules = RULES) -> Outlook:
    """Beside 200 requests of one caller."""
    found = Outlook(EngineFacts("m", 8, 2048, 1 << 20, 1, rules, PACE), AnswerLengths())
    for number in range(200):
        found.submitted(str(number), tracked("heavy"))
    return found


def first_s(found: Outlook, tenant: str, number: int = 1) -> float:
    return found.foresee([tracked(tenant)] * number, time.monotonic_ns())[0]


def test_a_light_caller_is_foreseen_before_those_who_wait_and_others_behind_them() -> None:
    found = outlook()
    assert first_s(found, "light") < 0.5
    assert first_s(found, "heavy") > 2
    assert first_s(found, "light", 6) > 2, "it would have as many as others"
    for number in range(6):
        found.submitted(f"light{number}", tracked("light"))
    assert first_s(found, "light") > 2, "it has as many"


def test_nobody_is_foreseen_first_where_that_is_turned_off() -> None:
    assert first_s(outlook(replace(RULES, light_first=False)), "light") > 2


def test_what_has_ended_counts_no_longer() -> None:
    found = outlook()
    for number in range(6):
        found.submitted(f"light{number}", tracked("light"))
    usage, timings = Usage(40, 0, 16), Timings(0, 0, 0, 0, 0)
    ends = tuple(FinishedEvent(f"light{number}", FinishReason.LENGTH, usage, timings) for number in range(6))
    found.take(StepReport(ends, StepStats(), time.monotonic_ns(), PACE))
    assert first_s(found, "light") < 0.5
