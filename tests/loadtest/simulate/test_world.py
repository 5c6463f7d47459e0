"""Runs in thought: the same again, every request ends once, queues as theory has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attendant.core.pace import Pace
from attendant_loadtest.schedule.arrivals import Bursty, Poisson
from attendant_loadtest.schedule.lengths import Fixed, Uniform
from attendant_loadtest.schedule.mix import Families, Mix, alike, plan
from attendant_loadtest.schedule.planned import Planned, Schedule, Segment
from attendant_loadtest.simulate.balancers import BALANCERS
from attendant_loadtest.simulate.outcomes import Fate, Log, figures
from attendant_loadtest.simulate.subject import BadSubject, Costs, Shape
from attendant_loadtest.simulate.world import Fleet, run
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loadtest.simulate.subjects import PAGES, SCARCE, SLOTS, subject

MIX = Mix(Uniform(2, 60), Uniform(1, 30), Families(5, Uniform(20, 60)), {0: 3.0, 5: 1.0}, deadline_s=1.5, cancels=0.2)


def told(log: Log) -> list[object]:
    return [
        bytes(log.fates), log.first_ns, log.last_ns, log.end_ns, log.tokens, log.cached, log.replicas, log.gaps_ns,
        log.refusals, log.num_steps, log.busy_ns,
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [SLOTS, PAGES, SCARCE], ids=["slots", "pages", "scarce"])
@pytest.mark.parametrize("predict", [True, False])
def test_the_same_seed_gives_the_same(shape: Shape, predict: bool) -> None:
    schedule = plan(Bursty(120, 2.0), MIX, 2.0, 3)
    fleet = Fleet(3, "orca", affinity=True, predict=predict)
    first, again = (run(subject(shape), schedule, fleet, 7) for _ in range(2))
    assert told(first) == told(again)
    assert told(first) != told(run(subject(shape), schedule, fleet, 8)), "another seed: steps take other times"
    assert Fate.CANCELLED in first.fates
    assert (Fate.REFUSED in first.fates) == predict, "who would be late is refused, if that is looked at"


requests = st.builds(
    Planned,
    st.floats(0, 3),
    st.lists(st.builds(Segment, st.integers(0, 3), st.integers(1, 60)), min_size=1, max_size=3).map(tuple),
    st.integers(1, 60),
    st.integers(-2, 2),
    st.none() | st.floats(0.05, 3),
    st.none() | st.integers(1, 60),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(requests, max_size=40),
    st.sampled_from([SLOTS, PAGES, SCARCE, replace(PAGES, max_queue=3)]),
    st.builds(Fleet, st.integers(1, 3), st.sampled_from(sorted(BALANCERS)), st.booleans(), st.booleans()),
)
def test_every_request_ends_once_and_in_order(come: list[Planned], shape: Shape, fleet: Fleet) -> None:
    schedule: Schedule = tuple(sorted(come, key=lambda each: each.at_s))
    log = run(subject(shape), schedule, fleet)  # which asserts that none ends twice
    for number, planned in enumerate(schedule):
        fate, tokens = log.fates[number], log.tokens[number]
        assert fate != Fate.NONE
        assert 0 <= log.replicas[number] < fleet.replicas
        if fate == Fate.ANSWERED:
            assert tokens == planned.answer
        if fate == Fate.REFUSED:
            assert not tokens
        if fate == Fate.CANCELLED:
            assert planned.cancel_after is not None
            assert planned.cancel_after <= tokens <= planned.cancel_after + 1, "one more while its caller hears of it"
        if fate == Fate.LATE:
            assert planned.deadline_s is not None
        if tokens:
            assert 0 < log.first_ns[number] <= log.last_ns[number] <= log.end_ns[number]
    counted = figures(log, schedule, fleet.replicas)
    assert counted.answered + counted.refused + counted.late + counted.cancelled == counted.requests == len(schedule)


@pytest.mark.parametrize("spread", [(1.0,), (0.4, 1.6)], ids=["M/D/1", "M/G/1"])
def test_a_queue_of_one_is_as_long_as_theory_says(spread: tuple[float, ...]) -> None:
    shape = replace(SLOTS, max_num_seqs=1, max_num_batched_tokens=64, spare_seqs=0, kv_tokens=256)
    engine = subject(shape, Costs(Pace(step=9e-3, prompt_token=1e-4), spread))
    service_s, load = 10e-3, 0.5
    schedule = plan(Poisson(load / service_s), alike(10, 1), 400.0, 11)
    log = run(engine, schedule, Fleet())
    second_moment = np.mean(np.square(spread))
    rate = len(schedule) / schedule[-1].at_s
    wait_s = rate * service_s**2 * second_moment / (2 * (1 - rate * service_s))  # Pollaczek and Khinchine
    assert np.mean(log.first_ns) / 1e9 - service_s == pytest.approx(wait_s, rel=0.06)


def test_a_burst_is_done_as_fast_as_steps_allow() -> None:
    """Four at once: a step for each prompt, then three of four rows."""
    engine = subject(SLOTS, Costs(Pace(step=1e-3, prompt_token=1e-5, row=1e-4)))
    schedule = tuple(Planned(0.0, (Segment(key, 10),), 4) for key in range(4))
    log = run(engine, schedule, Fleet())
    assert [round(ns / 1e3) for ns in log.first_ns] == [1100, 2200, 3300, 4400]
    assert {round(ns / 1e3) for ns in log.end_ns} == {4400 + 3 * 1400}
    assert log.num_steps == 7


def test_what_is_cached_costs_nothing_and_only_where_it_is() -> None:
    mix = Mix(Fixed(4), Fixed(2), Families(4, Fixed(120)))
    schedule = plan(Poisson(20), mix, 10.0, 5)
    shares = [
        figures(run(subject(PAGES), schedule, fleet), schedule, 8).cached
        for fleet in (Fleet(8, affinity=True), Fleet(8), Fleet(8, prefix_cache=False))
    ]
    assert shares[0] > shares[1] > shares[2] == 0


def test_what_cannot_be_is_refused() -> None:
    long = (Planned(0.0, (Segment(0, 250),), 10),)
    with pytest.raises(BadSubject, match="a prompt of 250 and an answer of 10 tokens; thought has a context of 256"):
        run(subject(), long, Fleet())
    with pytest.raises(BadSubject, match="0 replicas; allowed: 1 or more"):
        run(subject(), (), Fleet(0))
    with pytest.raises(BadSubject, match="balancer 'x'; allowed: round-robin, least-request, orca"):
        run(subject(), (), Fleet(1, "x"))
    with pytest.raises(BadSubject, match="a budget of 5 tokens; allowed with 4 sequences: 7 or more"):
        SLOTS.with_budget(5)
