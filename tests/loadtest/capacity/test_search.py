"""The search finds the rate between what is met and what is missed, and says when it could not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from attendant_loadtest.capacity.search import Search
from hypothesis import given, settings
from hypothesis import strategies as st


@dataclass(frozen=True)
class Said:
    met: bool
    tells: bool = True


def searched(
    answer: Callable[[float, int], Said], first: float = 1.0, resolution: float = 1.05, most_s: float = 1e9
) -> tuple[Search, list[tuple[float, int]]]:
    asked: list[tuple[float, int]] = []
    search = Search(resolution, most_s, lambda _: 10.0, lambda: 10.0 * len(asked))

    async def measure(rate: float, again: int) -> Said:
        asked.append((rate, again))
        return answer(rate, again)

    asyncio.run(search.run(measure, first))
    return search, asked


@settings(max_examples=80, deadline=None)
@given(st.floats(0.05, 5000), st.floats(0.02, 5000), st.sampled_from([1.02, 1.05, 1.3]))
def test_it_ends_just_below_what_is_possible(most: float, first: float, resolution: float) -> None:
    found, asked = searched(lambda rate, _: Said(rate <= most), first, resolution)
    assert not found.why
    assert most / resolution <= found.met_per_s <= most < found.missed_per_s
    assert asked[-1] == (found.met_per_s, 1), "it is asked once more, otherwise"
    assert len(asked) < 45


def test_what_was_luck_is_taken_back() -> None:
    """At 8 and 6 a second it was met once, and not again."""
    found, asked = searched(lambda rate, again: Said(rate <= 4.0 or (rate < 8.1 and not again)))
    assert not found.why
    assert 4.0 / 1.05 <= found.met_per_s <= 4.0
    assert (found.met_per_s, 1) in asked


def test_a_server_that_never_meets_it_ends_the_search() -> None:
    found, asked = searched(lambda *_: Said(False))
    assert found.met_per_s == 0
    assert "missed at 0.00781 requests/s, too" in found.why
    assert len(asked) == 8


def test_no_run_begins_that_would_end_too_late() -> None:
    found, asked = searched(lambda rate, _: Said(rate < 100), most_s=45)
    assert len(asked) == 4
    assert found.met_per_s == 8
    assert found.why == "45 s were over"


def test_a_client_that_is_late_is_asked_again_and_then_believed_to_be_so() -> None:
    found, asked = searched(lambda rate, _: Said(rate < 3, tells=rate < 3))
    assert found.met_per_s == 2
    assert found.missed_per_s == float("inf")
    assert asked[2:] == [(4, 0)] * 3
    assert "late itself at 4 requests/s" in found.why
    calls = iter([Said(True), Said(False, tells=False), Said(False), *[Said(True)] * 20])
    passing, _ = searched(lambda *_: next(calls), resolution=2.0)
    assert not passing.why
    assert (passing.met_per_s, passing.missed_per_s) == (1, 2)


def test_met_by_a_late_client_is_met() -> None:
    found, _ = searched(lambda rate, _: Said(rate <= 5, tells=rate > 5))
    assert not found.why
    assert found.met_per_s == pytest.approx(5, rel=0.05)
