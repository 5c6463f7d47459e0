"""Tenants and priorities in the real scheduler: everything ends once with its own answer, and tenants share alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest
from attendant.core.beams import BeamParams
from attendant.core.events import StepReport
from attendant.core.fair_order import OrderRules
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import ANYWHERE, AnyCuts, ChunkRule
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.sequence import Sequence
from attendant.engine.slot_pool import SlotPool
from attendant.engine.waiting import INPUT_WEIGHT, OUTPUT_WEIGHT, WaitingQueue
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import BlockRunner, Collected, RecordingRunner, drain, expected, request

CONTEXT, NUM_SEQS, SPARE = 48, 3, 1
RULES = {
    "fair": OrderRules(),
    "fair, with places taken": OrderRules(aging_ns=0, takes_places=True),
    "every moment a level": OrderRules(aging_ns=1, takes_places=True),
    "fair, nobody first for wanting little": OrderRules(light_first=False),
    "by arrival": OrderRules(fair=False),
}


def pages() -> tuple[KVPool, Any]:
    return BlockPool(NUM_SEQS + SPARE, 18, 4, CONTEXT), BlockRunner(NUM_SEQS + SPARE, 18, 4)


def slots() -> tuple[KVPool, Any]:
    return SlotPool(NUM_SEQS + SPARE, CONTEXT, 68, page_tokens=4), RecordingRunner(NUM_SEQS + SPARE, CONTEXT)


def made(make: Callable[[], tuple[KVPool, Any]], rules: OrderRules) -> tuple[Engine, Scheduler, KVPool]:
    pool, runner = make()
    rule: ChunkRule = AnyCuts() if make is pages else ANYWHERE
    scheduler = Scheduler(pool, SchedulerLimits(NUM_SEQS, 16, CONTEXT, rule=rule, spare_seqs=SPARE), rules)
    return Engine(scheduler, runner), scheduler, pool


EVENT = st.one_of(
    st.tuples(
        st.just("submit"), st.integers(0, 2), st.integers(1, 30), st.integers(1, 17), st.sampled_from("abc"),
        st.sampled_from([0, 0, 0, 1, -1, 100]),
    ),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("cancel"), st.integers(0, 15)),
)  # fmt: skip


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("make", [pages, slots])
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(events=st.lists(EVENT, min_size=4, max_size=30))
def test_everything_submitted_ends_once(
    rules: str, make: Callable[[], tuple[KVPool, Any]], events: list[tuple[Any, ...]]
) -> None:
    engine, scheduler, pool = made(make, RULES[rules])
    collected = Collected()
    asked: dict[str, tuple[list[int], int]] = {}
    cancelled = set()
    for kind, *what in events:
        if kind == "submit":
            family, length, max_tokens, tenant, priority = what
            id_ = str(len(asked))
            asked[id_] = ([family] * (length - 1) + [len(asked)], max_tokens)
            engine.submit(replace(request(id_, *asked[id_]), tenant=tenant, priority=priority))
        elif kind == "step":
            for _ in range(what[0] if engine.has_work else 0):
                collected.take(engine.step().events)
        else:
            cancelled.add(str(what[0]))
            engine.cancel(str(what[0]))
    if engine.has_work:
        drain(engine, collected, max_steps=2000)
    collected.take(scheduler.take_events())
    pool.check()
    assert collected.ends.keys() == asked.keys()
    for id_, (prompt, max_tokens) in asked.items():
        tokens, reason, _ = collected.answer(id_)
        want, want_reason = expected(prompt, max_tokens, context=CONTEXT)
        assert (tokens, reason) == (want, want_reason) or (reason == "cancelled" and id_ in cancelled)
        assert tokens == want[: len(tokens)]


@dataclass
class Watch:
    """What tenants had, and between each two how far it has drifted while both waited all the time."""

    had: dict[str, int] = field(default_factory=dict)
    widest: int = 0
    _between: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def take(self, report: StepReport, waiting: set[str]) -> None:
        for tenant, num_input, num_output in report.stats.served:
            had = INPUT_WEIGHT * num_input + OUTPUT_WEIGHT * num_output
            self.had[tenant] = self.had.get(tenant, 0) + had
        pairs = {pair: self.had.get(pair[0], 0) - self.had.get(pair[1], 0) for pair in combinations(sorted(waiting), 2)}
        self._between = {
            pair: (min(now, self._between.get(pair, (now, now))[0]), max(now, self._between.get(pair, (now, now))[1]))
            for pair, now in pairs.items()
        }
        self.widest = max([self.widest, *(most - least for least, most in self._between.values())])


SHAPE = st.tuples(st.integers(1, 30), st.integers(1, 17))


@pytest.mark.parametrize("make", [pages, slots])
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    shapes=st.lists(st.lists(SHAPE, min_size=1, max_size=4), min_size=2, max_size=4),
    gaps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 25), st.sampled_from([6, 6, 1, 2])), max_size=6),
)
def test_tenants_who_wait_differ_by_no_more_than_the_bound(
    make: Callable[[], tuple[KVPool, Any]], shapes: list[list[tuple[int, int]]], gaps: list[tuple[int, int, int]]
) -> None:
    """2 max(w_p L, w_q M), Theorem 4.4 of the paper: L is the longest prompt, M what requests can have that run
    together, in places for light tenants too. Tenants come one after the other, with as many requests as it takes to
    wait to the end, or with one or two: then they are light for a while."""
    engine, scheduler, pool = made(make, OrderRules())
    sizes = sorted((length + answer for each in shapes for length, answer in each), reverse=True)
    longest = max(length for each in shapes for length, _ in each)
    bound = 2 * max(INPUT_WEIGHT * longest, OUTPUT_WEIGHT * (NUM_SEQS + SPARE) * sizes[0])
    watch, collected, count = Watch(), Collected(), 0

    def submit(number: int, how_many: int) -> None:
        nonlocal count
        for index in range(how_many):
            length, answer = shapes[number][index % len(shapes[number])]
            count += 1
            engine.submit(replace(request(f"{number}/{count}", [count] * length, answer), tenant=str(number)))

    def step() -> None:
        report = engine.step()
        collected.take(report.events)
        watch.take(report, {s.request.tenant for s in scheduler.in_order(0)})

    submit(0, 12)
    for number, steps, how_many in gaps:
        for _ in range(steps if engine.has_work else 0):
            step()
        submit(number % len(shapes), how_many)
    while engine.has_work:
        step()
    pool.check()
    assert watch.widest <= bound
    served = sum(INPUT_WEIGHT * end.usage.prompt_tokens + OUTPUT_WEIGHT * end.usage.completion_tokens
                 for end in collected.ends.values())  # fmt: skip
    cached = sum(end.usage.cached_tokens for end in collected.ends.values())
    assert sum(watch.had.values()) == served - INPUT_WEIGHT * cached, "each token is charged once, also if preempted"


@pytest.mark.parametrize(("rules", "first"), [(OrderRules(), "late"), (OrderRules(fair=False), "many9")])
def test_one_with_many_requests_holds_up_nobody_else(rules: OrderRules, first: str) -> None:
    engine, _, _ = made(pages, rules)
    for number in range(10):
        engine.submit(replace(request(f"many{number}", [number] * 8, 4), tenant="heavy"))
    collected = Collected()
    for _ in range(3):
        collected.take(engine.step().events)
    engine.submit(replace(request("late", [99] * 8, 4), tenant="light"))
    drain(engine, collected)
    assert list(collected.ends).index("late") < 8 if first == "late" else list(collected.ends)[-1] == "late"


def test_one_tenant_and_one_priority_run_in_order_of_arrival() -> None:
    ends = []
    for tenant, rules in (("", OrderRules(fair=False)), ("a", OrderRules()), ("a", OrderRules(takes_places=True))):
        engine, scheduler, _ = made(slots, rules)
        for number in range(12):
            engine.submit(replace(request(str(number), [number] * (5 + 7 * number % 20), 20), tenant=tenant))
        ends.append(list(drain(engine).ends))
        assert scheduler.num_preemptions
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize("arrivals", ["012", "210"])
def test_the_lowest_priority_gives_its_memory_up_first(arrivals: str) -> None:
    engine, scheduler, _ = made(pages, OrderRules())
    for id_ in arrivals:
        engine.submit(replace(request(id_, [int(id_)] * 5, 40), priority=int(id_)))
    collected = drain(engine)
    assert scheduler.num_preemptions > 0
    assert list(collected.ends) == ["2", "1", "0"]


@pytest.mark.parametrize("takes_places", [False, True])
def test_one_that_waits_takes_a_place_from_a_lower_level_if_that_is_turned_on(takes_places: bool) -> None:
    engine, scheduler, _ = made(pages, OrderRules(takes_places=takes_places))
    for number in range(NUM_SEQS):
        engine.submit(replace(request(f"low{number}", [number] * 2, 12), priority=-1))
    collected = Collected()
    collected.take(engine.step().events)
    engine.submit(replace(request("high", [9] * 2, 2), priority=1))
    engine.submit(replace(request("equal", [8] * 2, 2), priority=-1))
    drain(engine, collected)
    assert (next(iter(collected.ends)) == "high") == takes_places
    assert (scheduler.num_preemptions == 1) == takes_places
    assert len(collected.ends) == NUM_SEQS + 2


def test_a_search_takes_places_for_all_its_beams() -> None:
    engine, scheduler, _ = made(pages, OrderRules(takes_places=True))
    for number in range(NUM_SEQS):
        engine.submit(replace(request(f"low{number}", [number] * 2, 30), tenant=str(number)))
    engine.step()
    search = replace(request("high", [9] * 2, 2), priority=1, beams=BeamParams(NUM_SEQS), hypotheses=("high",))
    scheduler.submit(search)
    plans = [scheduler.schedule(0) for _ in range(NUM_SEQS + 1)]
    assert [chunk.request_id for chunk in plans[-1].prefills] == ["high"]
    assert (scheduler.num_preemptions, scheduler.num_running) == (NUM_SEQS, NUM_SEQS)


def sequence(id_: str, order: int, length: int, tenant: str = "", priority: int = 0) -> Sequence:
    return Sequence(replace(request(id_, [1] * length), tenant=tenant, priority=priority), order, CONTEXT, ())


def test_the_last_in_order_gives_way() -> None:
    queue = WaitingQueue(OrderRules())
    ones = [
        sequence("a0", 0, 5, "a"),
        sequence("b1", 1, 9, "b"),
        sequence("a2", 2, 3, "a"),
        sequence("c3", 3, 4, "c", -1),
    ]
    for one in ones:
        queue.add(one)
    assert [one.id for one in queue.in_order(0)] == ["a0", "b1", "a2", "c3"]
    for one in ones:
        queue.remove(one)
        queue.begins(one, first=True)
    assert queue.victim(ones).id == "c3"
    assert queue.victim(ones[:3]).id == "b1", "of equal levels, whose tenant has had most"
    queue.generated(ones[0])
    assert queue.victim(ones[:3]).id == "a2", "of the same tenant, the last"
    assert {tenant: had for tenant, *had in queue.take_served()} == {"a": [8, 1], "b": [9, 0], "c": [4, 0]}
    assert queue.take_served() == ()
