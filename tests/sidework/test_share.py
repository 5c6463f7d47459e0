"""Side work has its share of the time, and no more, whatever comes in whatever order."""

from __future__ import annotations

from attendant.sidework.share import TimeShare
from hypothesis import given
from hypothesis import strategies as st

DURATION = st.integers(1, 10**9)
EVENTS = st.lists(st.tuples(st.sampled_from(["side", "others", "idle"]), DURATION), max_size=60)


@given(EVENTS, st.floats(0.001, 1.0))
def test_before_its_last_run_it_had_at_most_its_share_of_what_others_had(
    events: list[tuple[str, int]], share: float
) -> None:
    account = TimeShare()
    side = others = 0
    for what, duration in events:
        if what == "others":
            account.others_ran(duration)
            others += duration
        elif what == "idle":
            assert account.may_run(others_wait=False), "nobody is kept waiting"
            account.ran(duration, share, others_waited=False)
        elif account.may_run(others_wait=True):
            assert side <= share * others * (1 + 1e-9)
            account.ran(duration, share, others_waited=True)
            side += duration


@given(st.lists(DURATION, min_size=1, max_size=20), st.floats(0.001, 1.0))
def test_it_is_never_kept_waiting_for_longer_than_its_share_asks(runs: list[int], share: float) -> None:
    account = TimeShare()
    for duration in runs:
        assert account.may_run(others_wait=True)
        account.ran(duration, share, others_waited=True)
        account.others_ran(int(duration / share * 0.99))
        assert not account.may_run(others_wait=True)
        account.others_ran(int(duration / share * 0.01) + 2)


@given(DURATION, DURATION)
def test_nothing_is_saved_up(idle: int, duration: int) -> None:
    account = TimeShare()
    account.others_ran(idle)
    account.ran(duration, 0.05, others_waited=True)
    assert not account.may_run(others_wait=True)
