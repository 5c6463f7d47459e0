"""How long answers become, learnt from those that ended and those that were cut."""

from __future__ import annotations

import itertools
import random

import pytest
from attendant.frontend.generation.lengths import BOUNDS, AnswerLengths
from hypothesis import given
from hypothesis import strategies as st

ENDS = st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=60)


def taught(lengths: list[tuple[int, bool]]) -> AnswerLengths:
    known = AnswerLengths()
    for num_tokens, ended in lengths:
        known.took(num_tokens, ended=ended)
    return known


def drawn(mean: float, limit: int, number: int = 400) -> AnswerLengths:
    """Answers that end with the same chance at each token, or at a limit."""
    draw, known = random.Random(7), AnswerLengths()
    for _ in range(number):
        length = 1 + int(draw.expovariate(1 / mean))
        known.took(min(length, limit), ended=length <= limit)
    return known


def test_while_nothing_is_known_answers_get_as_long_as_they_may() -> None:
    known = AnswerLengths()
    assert (known.expected(0, 500), known.expected(20, 500), known.at_most(500, 0.9)) == (500, 480, 500)


def test_what_is_to_come_is_what_came_on_average() -> None:
    known = drawn(100, 10_000)
    assert known.expected(0, 10_000) == pytest.approx(100, rel=0.25)
    assert known.expected(100, 10_000) == pytest.approx(100, rel=0.35), "such answers have no memory"
    assert known.at_most(10_000, 0.9) == pytest.approx(230, rel=0.25)


def test_those_that_were_cut_would_have_been_longer() -> None:
    known = drawn(100, 60)
    assert known.expected(0, 60) == pytest.approx(45, rel=0.2)
    assert known.expected(0, 1000) > 300, "nobody has seen where they end"


def test_the_latest_count_most() -> None:
    known = taught([(1000, True)] * 100 + [(10, True)] * 500)
    assert known.expected(0, 2000) < 30


@given(ENDS, st.integers(0, 4000), st.integers(1, 4000))
def test_something_is_always_to_come_and_never_more_than_may(
    lengths: list[tuple[int, bool]], had: int, more: int
) -> None:
    assert 1 <= taught(lengths).expected(had, had + more) <= more


@given(ENDS, st.integers(1, 4000), st.floats(0.05, 0.95), st.floats(0.0, 0.04))
def test_the_more_certain_the_longer(
    lengths: list[tuple[int, bool]], limit: int, confidence: float, more: float
) -> None:
    known = taught(lengths)
    assert 1 <= known.at_most(limit, confidence) <= known.at_most(limit, confidence + more) <= limit


@given(ENDS, st.integers(1, 2000), st.integers(0, 2000))
def test_who_may_be_longer_is_expected_to_be_no_shorter(lengths: list[tuple[int, bool]], limit: int, more: int) -> None:
    known = taught(lengths)
    assert known.expected(0, limit) <= known.expected(0, limit + more)


def test_bounds_grow_without_gaps() -> None:
    assert BOUNDS[0] == 0
    assert all(a < b for a, b in itertools.pairwise(BOUNDS))
