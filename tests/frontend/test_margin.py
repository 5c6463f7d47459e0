"""How much room a promise leaves, learnt from how late the latest ones were."""

from __future__ import annotations

import random
import time

import pytest
from attendant.frontend.margin import BROKEN, LEAST, MOST, MOST_ERRORS, OLD_NS, Margin
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("spread", [0.15, 0.2, 0.3])
def test_so_many_promises_are_broken_whatever_the_spread(spread: float) -> None:
    margin, broken, draw = Margin(), 0, random.Random(5)
    for number in range(12_000):
        took_s = 1 + abs(draw.gauss(0, spread))
        broken += number >= 2000 and took_s - 1 > margin.value * 2
        margin.took(1.0, took_s, 2.0)
    assert broken / 10_000 == pytest.approx(BROKEN, abs=0.002)


def test_what_was_loud_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    margin = Margin()
    for _ in range(200):
        margin.took(1.0, 9.0, 2.0)
    assert margin.value == MOST
    now_ns += OLD_NS + 1
    assert margin.value == LEAST
    for _ in range(400):
        margin.took(1.8, 1.0, 2.0)
    assert margin.value == LEAST, "all come earlier than they are foreseen"


def test_of_few_promises_the_worst_counts() -> None:
    margin = Margin()
    margin.took(1.5, 1.9, 2.0)
    assert margin.value == pytest.approx(0.2)
    for _ in range(round(1 / BROKEN) - 2):
        margin.took(1.5, 1.5, 2.0)
    assert margin.value == pytest.approx(0.2)
    margin.took(1.5, 1.5, 2.0)
    assert margin.value == LEAST


def test_what_is_far_from_its_limit_says_nothing() -> None:
    margin = Margin()
    for _ in range(500):
        margin.took(0.1, 0.9, 2.0)
        margin.took(1.0, 2.0, 0.0)
    assert margin.value == LEAST
    margin.took(0.1, 1.5, 2.0)
    assert margin.value == MOST


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10), st.floats(-1, 10)), max_size=300))
def test_it_stays_within_its_bounds(promises: list[tuple[float, float, float]]) -> None:
    margin = Margin()
    for foreseen_s, actual_s, allowed_s in promises:
        margin.took(foreseen_s, actual_s, allowed_s)
        assert LEAST <= margin.value <= MOST


def test_it_holds_only_so_many() -> None:
    margin = Margin()
    for _ in range(MOST_ERRORS + 50):
        margin.took(1.9, 1.9, 2.0)
    assert len(margin._sorted) == len(margin._errors) == MOST_ERRORS
