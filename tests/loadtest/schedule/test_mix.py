"""What requests are like: shares that are kept, shared prefixes, and nothing that changes by something else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from attendant_loadtest.schedule.arrivals import Constant, Poisson
from attendant_loadtest.schedule.lengths import Fixed, Uniform
from attendant_loadtest.schedule.mix import OWN, Families, Mix, alike, plan
from attendant_loadtest.schedule.planned import (
    BadSchedule,
    Planned,
    Segment,
    in_order,
    scaled,
    span_s,
    tokens_of,
    too_long,
)

MIX = Mix(Uniform(5, 50), Uniform(1, 30), Families(4, Uniform(100, 200), skew=1.0), {0: 3, 10: 1}, 2.5, cancels=0.25)


def test_shares_are_kept() -> None:
    schedule = plan(Constant(1000), MIX, 10, 1)
    assert len(schedule) == 10_000
    assert Counter(each.priority for each in schedule)[10] == pytest.approx(2500, rel=0.1)
    broken = [each for each in schedule if each.cancel_after is not None]
    assert len(broken) == pytest.approx(2500, rel=0.1)
    assert all(1 <= each.cancel_after <= each.answer for each in broken)
    assert {each.deadline_s for each in schedule} == {2.5}
    assert all(5 <= each.segments[-1].tokens <= 50 and 1 <= each.answer <= 30 for each in schedule)


def test_a_family_has_one_prefix_and_everybody_a_rest_of_their_own() -> None:
    schedule = plan(Constant(1000), MIX, 4, 1)
    prefixes = {each.segments[0] for each in schedule}
    assert len(prefixes) == 4
    assert all(100 <= prefix.tokens <= 200 for prefix in prefixes)
    asked = Counter(each.segments[0].key for each in schedule)
    assert asked[0] == pytest.approx(2 * asked[1], rel=0.15)
    rests = [each.segments[1].key for each in schedule]
    assert len(set(rests)) == len(rests)
    assert min(rests) >= OWN > max(asked)


def test_nothing_is_shared_without_families() -> None:
    schedule = plan(Poisson(100), alike(20, 5), 3, 1)
    assert all(len(each.segments) == 1 and each.prompt == 20 and each.answer == 5 for each in schedule)
    assert len({each.segments for each in schedule}) == len(schedule)


def test_one_thing_that_is_changed_changes_nothing_else() -> None:
    schedule = plan(Poisson(100), MIX, 3, 1)
    assert schedule == plan(Poisson(100), MIX, 3, 1)
    assert schedule != plan(Poisson(100), MIX, 3, 2)
    other = plan(Poisson(100), replace(MIX, cancels=0.0, prompts=Fixed(9)), 3, 1)
    assert [(each.at_s, each.answer, each.priority) for each in other] == [
        (each.at_s, each.answer, each.priority) for each in schedule
    ]
    faster = plan(Poisson(300), MIX, 1, 1)
    assert [replace(each, at_s=0.0) for each in faster] == [replace(each, at_s=0.0) for each in schedule]


def test_tokens_follow_from_segments() -> None:
    vocab = range(10, 500)
    first = tokens_of((Segment(3, 8), Segment(OWN, 4)), vocab, 1)
    second = tokens_of((Segment(3, 8), Segment(OWN + 1, 6)), vocab, 1)
    assert (len(first), len(second)) == (12, 14)
    assert first[:8] == second[:8]
    assert first[8:] != second[8:12]
    assert all(10 <= token < 500 for token in first + second)
    assert tokens_of((Segment(3, 8),), vocab, 2) != first[:8]


def test_a_schedule_is_scaled() -> None:
    (each,) = scaled((Planned(3.0, (Segment(1, 512), Segment(2, 3)), 90, 5, 2.0, 40),), speed=2, lengths=0.1)
    assert each == Planned(1.5, (Segment(1, 51), Segment(2, 1)), 9, 5, 2.0, 4)
    for wrong in ({"speed": 0}, {"lengths": -1}, {"speed": float("nan")}):
        with pytest.raises(BadSchedule, match="allowed: greater than 0"):
            scaled((), **wrong)


def test_what_does_not_fit_is_found() -> None:
    short, long = Planned(2.0, (Segment(1, 60),), 40), Planned(1.0, (Segment(1, 60),), 41)
    assert in_order([short, long]) == (long, short)
    assert too_long((long, short), 100) == (long,)
    assert (span_s((long, short)), span_s(())) == (2.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"cancels": 1.5}, {"cancels": -0.1}, {"deadline_s": 0}),
        *({"priorities": weights} for weights in ({}, {0: 0}, {0: -1, 1: 2}, {101: 1})),
    ],
)
def test_shares_that_are_none_are_named(wrong: dict) -> None:
    with pytest.raises(BadSchedule, match="allowed: "):
        replace(MIX, **wrong)


def test_families_that_are_none_are_named() -> None:
    for count, skew in ((0, 0.0), (3, -1.0)):
        with pytest.raises(BadSchedule, match="allowed: "):
            Families(count, Fixed(10), skew)


def test_a_schedule_without_requests_is_refused() -> None:
    with pytest.raises(BadSchedule, match=r"nothing comes within 0\.001 s"):
        plan(Poisson(1), alike(1, 1), 0.001, 0)
