"""How often a dead model is loaded anew."""

from __future__ import annotations

from attendant.models.restarts import LONGEST_PAUSE_S, Restarts
from hypothesis import given
from hypothesis import strategies as st


def test_each_death_within_the_window_doubles_the_pause_until_there_are_too_many() -> None:
    restarts = Restarts(3, 600.0, 1.0)
    assert [restarts.died("m", now_s) for now_s in (0, 1, 2, 3)] == [1.0, 2.0, 4.0, None]
    assert restarts.died("other", 3) == 1.0, "each model has its own"


def test_a_death_counts_no_more_after_the_window() -> None:
    restarts = Restarts(1, 10.0, 0.5)
    assert [restarts.died("m", now_s) for now_s in (0, 10, 19.9, 29.8, 40)] == [0.5, 0.5, None, None, 0.5]


def test_no_restarts_at_all() -> None:
    assert Restarts(0, 600.0, 1.0).died("m", 0.0) is None


@given(
    st.integers(0, 5),
    st.floats(0.1, 100),
    st.floats(0, 100),
    st.lists(st.floats(0, 50), max_size=30),
)
def test_never_more_than_the_most_in_a_window(most: int, window_s: float, pause_s: float, gaps: list[float]) -> None:
    restarts = Restarts(most, window_s, pause_s)
    now_s, begun = 0.0, []
    for gap in gaps:
        now_s += gap
        found = restarts.died("m", now_s)
        if found is not None:
            assert pause_s <= found <= max(LONGEST_PAUSE_S, pause_s)
            begun.append(now_s)
        assert len([at for at in begun if now_s - at < window_s]) <= most
