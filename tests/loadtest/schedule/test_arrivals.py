"""Arrivals have the mean and the variation that is asked for, from the first second on, and follow from a seed."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, pstdev

import pytest
from attendant_loadtest.schedule.arrivals import Arrivals, Bursty, Constant, Poisson, Ramp, arrivals_of
from attendant_loadtest.schedule.planned import BadSchedule
from hypothesis import given, settings
from hypothesis import strategies as st

RATES = st.floats(0.1, 300)
PROCESSES = st.one_of(
    st.builds(Constant, RATES),
    st.builds(Poisson, RATES),
    st.builds(Bursty, RATES, st.floats(0.1, 4)),
    st.builds(Ramp, RATES, RATES),
)


@settings(max_examples=60, deadline=None)
@given(PROCESSES, st.floats(0.01, 5), st.integers(0, 2**32))
def test_moments_are_in_order_within_the_time_and_follow_from_the_seed(
    arrivals: Arrivals, seconds: float, seed: int
) -> None:
    times = arrivals.times(seconds, seed)
    assert times == sorted(times)
    assert all(0 <= at < seconds for at in times)
    assert times == arrivals.times(seconds, seed)


@settings(max_examples=30, deadline=None)
@given(st.one_of(st.builds(Poisson, RATES), st.builds(Bursty, RATES, st.floats(0.1, 4))), st.integers(0, 2**32))
def test_a_longer_time_begins_as_a_shorter_one(arrivals: Arrivals, seed: int) -> None:
    short = arrivals.times(1.0, seed)
    assert arrivals.times(3.0, seed)[: len(short)] == short


@pytest.mark.parametrize(
    ("arrivals", "cv"), [(Poisson(50), 1.0), (Bursty(50, 2.5), 2.5), (Bursty(50, 0.3), 0.3), (Bursty(50, 1), 1.0)]
)
def test_gaps_have_their_mean_and_their_variation(arrivals: Arrivals, cv: float) -> None:
    times = arrivals.times(1000, 7)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert fmean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert pstdev(gaps) / fmean(gaps) == pytest.approx(cv, rel=0.05)


@pytest.mark.parametrize("cv", [0.2, 1.0, 3.0])
def test_a_short_window_has_its_share_from_its_first_moment_on(cv: float) -> None:
    counts = [len(Bursty(20, cv).times(1.0, seed)) for seed in range(3000)]
    assert fmean(counts) == pytest.approx(20, rel=0.05)


def test_a_constant_rate_has_equal_gaps() -> None:
    assert Constant(4).times(1.0, 0) == [0, 0.25, 0.5, 0.75]
    assert Constant(3).times(1.1, 0) == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(("first", "last"), [(10, 90), (90, 10), (0, 100), (100, 0), (50, 50)])
def test_a_ramp_goes_evenly_from_one_rate_to_the_other(first: float, last: float) -> None:
    times = Ramp(first, last).times(200, 3)
    half = sum(at < 100 for at in times)
    assert len(times) == pytest.approx(50 * 200, rel=0.05)
    assert half == pytest.approx((3 * first + last) / 4 * 100, rel=0.06)


def test_processes_have_names_for_users() -> None:
    assert arrivals_of("poisson")(3) == Poisson(3)
    assert arrivals_of("constant")(3) == Constant(3)
    assert arrivals_of("bursty:2.5")(3) == Bursty(3, 2.5)


@pytest.mark.parametrize(
    "text", ["", "sometimes", "bursty", "bursty:", "bursty:much", "bursty:0", "bursty:nan", "poisson:2"]
)
def test_a_wrong_name_is_told_what_is_allowed(text: str) -> None:
    with pytest.raises(BadSchedule, match="allowed: "):
        arrivals_of(text)


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (Poisson, (0,), "a rate is 0"),
        (Poisson, (-1,), "a rate is -1"),
        (Constant, (float("inf"),), "a rate is inf"),
        (Bursty, (1, 0), "a coefficient of variation is 0"),
        (Ramp, (0, 0), "from 0 to 0 a second"),
        (Ramp, (-1, 5), "from -1 to 5 a second"),
    ],
)
def test_a_wrong_rate_is_named(kind: type[Arrivals], values: tuple[float, ...], says: str) -> None:
    with pytest.raises(BadSchedule, match=f"{says}.*; allowed: "):
        kind(*values)
