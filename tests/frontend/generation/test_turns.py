"""The order of those that wait, as the event loop knows it: that of the engine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest
from attendant.core.errors import WouldBeLate
from attendant.core.events import StepReport, StepStats, TenantService
from attendant.core.fair_order import OrderRules
from attendant.core.pace import Pace
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.facts import EngineFacts
from attendant.engine.sequence import Sequence
from attendant.engine.step_rules import StepRules
from attendant.engine.waiting import WaitingQueue
from attendant.frontend.generation.forecast import Forecast
from attendant.frontend.generation.turns import Turns
from attendant.metrics import Metrics
from attendant.settings import AdmissionSettings
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.engine.helpers import request

NOW_NS = 10**12
S = 10**9

COMING = st.tuples(st.sampled_from("abc"), st.integers(-1, 2), st.integers(2, 60), st.integers(0, 30))
"""Tenant, priority, tokens of the prompt, seconds ago."""


@dataclass(frozen=True)
class One:
    name: str
    tenant: str
    priority: int
    arrival_ns: int
    cost: int


@given(
    st.lists(COMING, min_size=1, max_size=12),
    st.integers(0, 4),
    st.sampled_from([OrderRules(), OrderRules(aging_ns=0), OrderRules(fair=False)]),
)
def test_it_is_the_order_of_the_engine(
    coming: list[tuple[str, int, int, int]], newcomers: int, rules: OrderRules
) -> None:
    turns, queue = Turns(rules), WaitingQueue(rules)
    ones: list[One] = []
    for number, (tenant, priority, prompt, ago_s) in enumerate(coming):
        one = One(str(number), tenant, priority, NOW_NS - ago_s * S, prompt)
        asked = replace(request(one.name, range(prompt)), tenant=tenant, priority=priority, arrival_ns=one.arrival_ns)
        queue.add(Sequence(asked, number, 512, ()))
        ones.append(one)
        if number < len(coming) - newcomers:
            turns.add(one.name, one)
    new = ones[max(len(coming) - newcomers, 0) :]
    if len(new) == 1 and turns.is_last(new[0].priority, new[0].tenant):
        assert turns.order(new, NOW_NS)[-1] is new[0]
    engines = [sequence.id for sequence in queue.in_order(NOW_NS)]
    assert [one.name for one in turns.order(new, NOW_NS) if isinstance(one, One)] == engines
    assert len(turns.order([], NOW_NS)) == len(coming) - len(new), "newcomers were there in thought only"


def test_who_has_had_less_is_sooner_and_who_begins_waits_no_longer() -> None:
    turns = Turns(OrderRules())
    assert turns.is_last(0, "new"), "nobody waits"
    heavy = [One(f"h{number}", "heavy", 0, NOW_NS, 10) for number in range(3)]
    for one in heavy:
        turns.add(one.name, one)
    assert (turns.is_single, turns.is_last(0, "heavy"), turns.is_last(0, "light")) == (True, True, False)
    light = One("l", "light", 0, NOW_NS, 10)
    assert turns.order([light], NOW_NS) == [heavy[0], light, *heavy[1:]]
    turns.served([TenantService("heavy", 50, 50)])
    assert turns.order([light], NOW_NS) == [light, *heavy]
    turns.add("l", light)
    assert not turns.is_single
    turns.remove("l", begun=True)
    turns.remove("l", begun=False)
    assert turns.order([], NOW_NS) == heavy
    for one in heavy:
        turns.remove(one.name, begun=False)
    assert turns.order([light], NOW_NS) == [light]


def test_a_tenant_with_nothing_there_is_not_refused_for_the_queue_of_another() -> None:
    """Sixteen answers of a second each wait, two at a time: a newcomer of the same tenant is late, one of another
    tenant, or of a higher priority, is not."""
    pace = Pace(step=0.1, num_steps=100)
    facts = EngineFacts("one", 2, 128, 4096, 64, StepRules(2, 64, kv_tokens=4096, page_tokens=16), pace)
    forecast = Forecast("m", [facts], 128, AdmissionSettings(), Metrics(CollectorRegistry()))
    now_ns = time.monotonic_ns()

    def asked(name: str, tenant: str, left_s: float | None, priority: int = 0) -> Request:
        by_ns = None if left_s is None else time.monotonic_ns() + int(left_s * S)
        params = SamplingParams(max_tokens=10, ignore_eos=True)
        return Request(name, (1, 2, 3), params, now_ns, by_ns, sure_tokens=10, tenant=tenant, priority=priority)

    for number in range(16):
        forecast.submitted(0, asked(str(number), "heavy", None))
    forecast.take(0, StepReport((), StepStats(num_running=2, num_waiting=14), time.monotonic_ns(), pace))
    with pytest.raises(WouldBeLate):
        forecast.admit(0, asked("a", "heavy", 6.0), 1, inner=False)
    forecast.admit(0, asked("b", "light", 6.0), 1, inner=False)
    forecast.admit(0, asked("c", "heavy", 6.0, priority=1), 1, inner=False)
    off = AdmissionSettings(fair=False)
    unfair = Forecast("m", [facts], 128, off, forecast._metrics)
    for number in range(16):
        unfair.submitted(0, asked(str(number), "heavy", None))
    with pytest.raises(WouldBeLate):
        unfair.admit(0, asked("b", "light", 6.0), 1, inner=False)
