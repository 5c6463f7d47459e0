"""A tenant that wants little beside one that wants much: it gets a place at once, and its prompt runs by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from attendant.core.beams import BeamParams
from attendant.core.fair_order import OrderRules
from attendant.core.plan import StepPlan
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import ANYWHERE, AnyCuts, ChunkRule
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.shares import LATELY_NS, Shares
from attendant.engine.slot_pool import SlotPool

from tests.engine.helpers import BlockRunner, Collected, RecordingRunner, drain, expected, request

CONTEXT, NUM_SEQS, SPARE, BUDGET = 64, 4, 1, 40
NOBODY_FIRST = OrderRules(light_first=False)


class Machine:
    """An engine over slots or pages, and what it planned."""

    def __init__(self, rules: OrderRules | None = None, *, kv: int = 1024, pages: bool = False, apart: bool = False):
        rows = NUM_SEQS + SPARE
        pool: KVPool
        runner: Any
        rule: ChunkRule = ANYWHERE
        if pages:
            pool, runner, rule = BlockPool(rows, 1 + kv // 4, 4, CONTEXT), BlockRunner(rows, 1 + kv // 4, 4), AnyCuts()
        else:
            pool, runner = SlotPool(rows, CONTEXT, kv, page_tokens=4), RecordingRunner(rows, CONTEXT)
        limits = SchedulerLimits(
            NUM_SEQS, NUM_SEQS + BUDGET, CONTEXT, rule=rule, spare_seqs=SPARE, run_cost=32, prompts_apart=apart
        )
        self.scheduler = Scheduler(pool, limits, rules)
        self.engine = Engine(self.scheduler, runner)
        self.pool = pool
        self.collected = Collected()
        self.latest = StepPlan()
        self.asked: dict[str, tuple[list[int], int]] = {}

    def submit(self, tenant: str, number: int = 1, length: int = 6, answer: int = 12, **changes: Any) -> None:
        for _ in range(number):
            id_ = f"{tenant}{len(self.asked)}"
            self.asked[id_] = [len(self.asked) + 1] * length, answer
            self.engine.submit(replace(request(id_, *self.asked[id_]), tenant=tenant, **changes))

    def steps(self, number: int = 1) -> None:
        for _ in range(number):
            self.collected.take(self.engine.step().events)

    def plan(self) -> tuple[list[str], list[str]]:
        """Whose prompts the next step computes, and who decodes in it; it runs."""
        self.engine.begin()
        assert self.engine._begun is not None
        self.latest = self.engine._begun.plan
        self.collected.take(self.engine.finish().events)
        return [c.request_id for c in self.latest.prefills], [c.request_id for c in self.latest.decodes]

    def drain(self) -> None:
        """To the end: everybody has its own answer."""
        if self.engine.has_work:
            drain(self.engine, self.collected)
        self.pool.check()
        assert self.collected.ends.keys() == self.asked.keys()
        for id_, (prompt, answer) in self.asked.items():
            assert self.collected.answer(id_)[:2] == expected(prompt, answer, context=CONTEXT)


def shares(wanted: dict[str, int], rules: OrderRules | None = None, places: int = 16) -> Shares:
    found = Shares(rules or OrderRules(), places)
    for tenant, number in wanted.items():
        found.change(tenant, number)
    return found


@pytest.mark.parametrize(
    ("places", "wanted", "light"),
    [
        (16, {"a": 1}, ""),  # alone
        (16, {"a": 1, "b": 3}, ""),  # not four times as much
        (16, {"a": 1, "b": 4}, "a"),
        (16, {"a": 8, "b": 1000}, "a"),
        (16, {"a": 9, "b": 1000}, ""),  # more than half of the places
        (16, {"a": 1, "b": 1, "c": 2, "d": 4}, "ab"),
        (16, {"a": 4, "b": 4, "c": 4, "d": 4, "e": 1000}, ""),  # all want more than their shares
        (2, {"a": 1, "b": 1, "c": 2, "d": 8}, "ab"),  # a share is one place at least
        (16, {"a": 0, "b": 0}, ""),
    ],
)
def test_who_is_light(places: int, wanted: dict[str, int], light: str) -> None:
    assert {tenant for tenant in wanted if shares(wanted, places=places).is_light(tenant)} == set(light)
    for rules in (NOBODY_FIRST, OrderRules(fair=False)):
        assert not any(shares(wanted, rules, places).is_light(tenant) for tenant in wanted)


def test_light_tenants_may_come_for_a_while_after_one_came() -> None:
    found = shares({})
    assert not found.light_may_come(LATELY_NS)
    found.light_came(5)
    assert found.light_may_come(5)
    assert not found.light_may_come(5 + LATELY_NS)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("pages", [False, True])
def test_its_first_token_comes_with_the_next_step_though_all_places_are_taken(*, pages: bool, apart: bool) -> None:
    machine = Machine(pages=pages, apart=apart)
    machine.submit("heavy", 12)
    machine.steps(4)
    assert machine.scheduler.num_running == NUM_SEQS
    machine.submit("light")
    prompts, decodes = machine.plan()
    assert prompts == ["light12"], "its prompt alone"
    assert not decodes
    assert machine.collected.tokens["light12"]
    assert machine.scheduler.num_preemptions == 0, "nobody has lost anything"
    machine.drain()


def test_what_is_held_for_light_tenants_no_other_takes() -> None:
    machine = Machine()
    machine.submit("heavy", 12)
    machine.submit("other", 12)
    most = 0
    while machine.engine.has_work:
        machine.steps()
        most = max(most, machine.scheduler.num_running)
    assert most == NUM_SEQS
    machine.drain()


def test_it_waits_as_anybody_where_that_is_turned_off() -> None:
    machine = Machine(NOBODY_FIRST)
    machine.submit("heavy", 12)
    machine.steps(4)
    machine.submit("light")
    machine.steps()
    assert not machine.collected.tokens["light12"]
    machine.drain()


@pytest.mark.parametrize("pages", [False, True])
def test_who_has_most_gives_memory_up_for_it_and_loses_no_token(*, pages: bool) -> None:
    machine = Machine(kv=80, pages=pages)
    machine.submit("heavy", 8, length=12, answer=30)
    machine.steps(6)
    while machine.scheduler.num_running > 3:  # as many as there is memory for
        machine.steps()
    before = machine.scheduler.num_preemptions
    machine.submit("light", length=20)
    for _ in range(4):
        if not machine.collected.tokens["light8"]:
            machine.steps()
    assert machine.collected.tokens["light8"], "a step after it found none"
    assert machine.scheduler.num_preemptions > before
    machine.drain()


def test_a_search_of_a_light_tenant_gets_places_for_its_beams() -> None:
    machine = Machine()
    machine.submit("heavy", 12, answer=40)
    machine.steps(4)
    search = replace(request("search", [99] * 6, 2), tenant="light", beams=BeamParams(2), hypotheses=("search",))
    machine.scheduler.submit(search)
    plans = [machine.scheduler.schedule(0) for _ in range(2)]
    assert [chunk.request_id for plan in plans for chunk in plan.prefills] == ["search"]
    assert machine.scheduler.num_preemptions == 1, "one place was spare"


def test_its_long_prompt_goes_before_those_that_began_and_have_had_more() -> None:
    machine = Machine()
    machine.submit("heavy", 3, length=6, answer=40)
    machine.steps(12)
    machine.submit("heavy", 6, length=60, answer=2)
    machine.steps()  # one of them has begun
    machine.submit("light", length=6)
    assert machine.plan()[0] == ["light9"]
    machine.drain()


def test_while_light_tenants_may_come_steps_have_less_of_others_prompts() -> None:
    machine = Machine()
    machine.submit("heavy", 8, length=30, answer=2)
    machine.submit("light")
    sizes = []
    while machine.engine.has_work:
        machine.plan()
        sizes.append([len(chunk.tokens) for chunk in machine.latest.prefills])
    assert sizes[0] == [30, 6], "of those who have had nothing the first to come goes first"
    assert max(sum(each) for each in sizes[1:]) == BUDGET // 2
    machine.drain()


def test_one_tenant_alone_is_served_as_before() -> None:
    plans = []
    for rules in (OrderRules(), NOBODY_FIRST, OrderRules(fair=False)):
        machine = Machine(rules, kv=160)
        machine.submit("one", 12, length=17, answer=9)
        found = []
        while machine.engine.has_work:
            found.append(machine.plan())
        plans.append((found, machine.scheduler.num_preemptions))
    assert plans[0] == plans[1] == plans[2]


def test_a_tenant_that_has_had_least_is_not_held_up_by_light_ones_for_ever() -> None:
    machine = Machine()
    machine.submit("heavy", 8, length=40, answer=2)
    for number in range(60):
        machine.submit(f"light-{number}-", length=6, answer=2)
        machine.steps()
    done = sum(id_.startswith("heavy") for id_ in machine.collected.ends)
    machine.drain()
    assert done, "prompts of the heavy one were computed meanwhile"
