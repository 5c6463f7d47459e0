"""Lengths are whole numbers of tokens with the mean and the variation that is asked for."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
import pytest
from attendant_loadtest.schedule.lengths import Empirical, Fixed, Lengths, Lognormal, Uniform, lengths_of
from attendant_loadtest.schedule.planned import BadSchedule
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = st.integers(1, 4000)
KINDS = st.one_of(
    st.builds(Fixed, SIZES),
    st.tuples(SIZES, SIZES).map(lambda pair: Uniform(min(pair), max(pair))),
    st.builds(Lognormal, st.floats(1, 2000), st.floats(0.05, 3)),
    st.builds(Lognormal, st.floats(1, 2000), st.floats(0.05, 3), st.integers(2000, 4000)),
    st.lists(SIZES, min_size=1, max_size=20).map(lambda seen: Empirical(tuple(seen))),
)


@settings(max_examples=60, deadline=None)
@given(KINDS, st.integers(0, 50), st.integers(0, 2**32))
def test_lengths_are_whole_and_follow_from_the_seed(lengths: Lengths, count: int, seed: int) -> None:
    drawn = lengths.draw(count, np.random.default_rng(seed))
    assert len(drawn) == count
    assert all(type(each) is int and each >= 1 for each in drawn)
    assert drawn == lengths.draw(count, np.random.default_rng(seed))
    most = getattr(lengths, "most", None)
    assert most is None or all(each <= most for each in drawn)


@pytest.mark.parametrize(
    ("lengths", "mean", "cv"),
    [
        (Fixed(40), 40, 0),
        (Uniform(10, 20), 15, 0.2108),
        (Lognormal(300, 1.2), 300, 1.2),
        (Empirical((10, 10, 40)), 20, 0.7071),
    ],
)
def test_lengths_have_their_mean_and_their_variation(lengths: Lengths, mean: float, cv: float) -> None:
    drawn = lengths.draw(60_000, np.random.default_rng(5))
    assert fmean(drawn) == pytest.approx(mean, rel=0.03)
    assert pstdev(drawn) / fmean(drawn) == pytest.approx(cv, rel=0.06, abs=1e-9)


def test_both_ends_of_a_range_are_drawn() -> None:
    assert set(Uniform(3, 5).draw(200, np.random.default_rng(0))) == {3, 4, 5}


def test_distributions_have_names_for_users(tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("4\n\n9\n")
    assert lengths_of("64") == Fixed(64)
    assert lengths_of("16-128") == Uniform(16, 128)
    assert lengths_of("lognormal:200,1.5") == Lognormal(200, 1.5)
    assert lengths_of("lognormal:200,1.5,900") == Lognormal(200, 1.5, 900)
    assert lengths_of(f"empirical:{tmp_path / 'seen'}") == Empirical((4, 9))


@pytest.mark.parametrize(
    "text",
    [
        *("", "many", "0", "-5", "9-3", "5-", "1.5", "zipf:3", "empirical:/nowhere"),
        *(
            "lognormal:",
            "lognormal:200",
            "lognormal:200,0",
            "lognormal:200,1,100",
            "lognormal:1,2,3,4",
            "lognormal:nan,1",
        ),
    ],
)
def test_what_is_no_distribution_is_told_what_is_allowed(text: str) -> None:
    with pytest.raises(BadSchedule, match=r"allowed: |cannot be read"):
        lengths_of(text)


@pytest.mark.parametrize(
    ("text", "says"), [("4\nx\n", 'seen:2 is "x"'), ("", "no lengths were seen"), ("0\n", "a length is 0")]
)
def test_a_file_of_lengths_that_is_wrong_says_where(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "seen").write_text(text)
    with pytest.raises(BadSchedule, match=says):
        lengths_of(f"empirical:{tmp_path / 'seen'}")
