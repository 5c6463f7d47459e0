"""What runs take by their load, and when rows behind others would be done."""

from __future__ import annotations

import pytest
from attendant.batching.forecast import BatchForecast
from attendant.batching.policy import BatchLimits
from attendant.batching.run_times import RunTimes
from attendant.core.encoding import BatchStats
from hypothesis import given
from hypothesis import strategies as st

LIMITS = BatchLimits("packed", 1000, 8)


def test_nothing_is_known_before_the_first_run() -> None:
    assert RunTimes().of(5) is None
    assert RunTimes().least(5) is None
    assert BatchForecast(LIMITS).due_in_ns(1, 5, 0) is None


def test_between_two_loads_time_is_a_straight_line_and_above_it_grows_in_proportion() -> None:
    times = RunTimes()
    times.take(100, 50)
    times.take(1000, 950)
    assert [times.of(load) for load in (0, 1, 100, 550, 1000, 2000)] == [50, 50, 50, 500, 950, 1900]


def test_what_is_known_follows_what_runs_take_now() -> None:
    times = RunTimes()
    times.take(100, 1000)
    for _ in range(50):
        times.take(100, 10)
    assert times.of(100) == pytest.approx(10, rel=0.01)
    times.take(100, 700)
    assert times.least(100) == 10, "one that was slow says nothing of how fast it can be"


@given(st.floats(1, 1e6), st.floats(0, 1e6), st.lists(st.integers(1, 10_000), min_size=30))
def test_times_that_are_a_line_of_the_load_are_found(each: float, fixed: float, loads: list[int]) -> None:
    times = RunTimes()
    for load in loads:
        times.take(load, round(fixed + each * load))
    for load in range(min(loads), max(loads) + 1, 1 + (max(loads) - min(loads)) // 7):
        assert times.of(load) == pytest.approx(fixed + each * load, rel=0.7, abs=2)


def test_a_queue_is_worked_off_in_batches_as_full_as_they_lately_were() -> None:
    forecast = BatchForecast(LIMITS)
    for _ in range(60):
        forecast.ran(BatchStats(8, 400, 400, 90, num_waiting=5, turn_ns=100), 1000)
    assert forecast.due_in_ns(8, 400, 1000) == pytest.approx(100, abs=1)
    assert forecast.due_in_ns(80, 4000, 1000) == pytest.approx(1000, abs=10)
    assert forecast.due_in_ns(80, 4000, 1060) == pytest.approx(940, abs=10), "a part of the first is done"
    assert forecast.due_in_ns(80, 4000, 9000) == pytest.approx(900, abs=10), "but not more than the first"
    assert forecast.due_in_ns(80, 800, 1000) == pytest.approx(1000, abs=10), "no more rows than a batch may have"


def test_a_row_that_comes_first_waits_for_others_of_its_kind() -> None:
    forecast = BatchForecast(BatchLimits("packed", 1000, 8, max_delay_ns=7))
    forecast.ran(BatchStats(1, 50, 50, 90, turn_ns=100), 1000)
    forecast.begins(5000)
    assert forecast.due_in_ns(1, 50, 5000) == 107


def test_no_rows_are_done_at_once() -> None:
    assert BatchForecast(LIMITS).due_in_ns(0, 0, 5) == 0
