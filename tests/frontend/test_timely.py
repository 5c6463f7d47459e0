"""How much longer than predicted something may take, learnt from what did."""

from __future__ import annotations

import time

import numpy as np
import pytest
from attendant.core.errors import DeadlineExceeded, WouldBeLate
from attendant.frontend import timely
from attendant.frontend.timely import FIRST_MARGIN, MOST_MARGIN, Margin, Promise, check_in_time


def test_a_margin_is_where_one_in_a_hundred_takes_longer() -> None:
    chance = np.random.default_rng(3)
    margin, late = Margin(), 0
    for number in range(40_000):
        share = float(chance.lognormal(0.2, 0.4))
        late += number >= 10_000 and share > margin.value
        margin.took(share)
    assert late / 30_000 == pytest.approx(0.01, rel=0.15)


def test_a_margin_has_bounds() -> None:
    margin = Margin()
    for _ in range(3000):
        margin.took(0.0)
    assert margin.value == 1
    for _ in range(300):
        margin.took(1e9)
    assert margin.value == MOST_MARGIN


def test_a_promise_teaches_how_long_it_took_also_if_it_was_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    margin = Margin()
    with Promise(margin, 100):
        now_ns += 151
    assert margin.value > FIRST_MARGIN
    learnt = margin.value

    def broken(took_ns: int) -> None:
        nonlocal now_ns
        with Promise(margin, 100):
            now_ns += took_ns
            raise DeadlineExceeded("late")

    for took_ns, kept in ((1, True), (1000, False)):  # one that was given up early says nothing
        with pytest.raises(DeadlineExceeded):
            broken(took_ns)
        assert (margin.value == learnt) == kept
    learnt = margin.value
    with Promise(margin) as promise:
        now_ns += 10**9
    assert margin.value == learnt, "nothing was promised"
    with Promise(margin) as promise:
        now_ns += 10**9
        promise.make(100)
        now_ns += 1
    assert margin.value < learnt


def test_who_is_alone_is_refused_only_by_far_and_by_what_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    by_ns = now_ns + 10**9

    def refused(due_s: float, alone_since_ns: int | None) -> bool:
        try:
            check_in_time(
                "m", "it", due_s * 1e9, Margin(), arrival_ns=now_ns, by_ns=by_ns, alone_since_ns=alone_since_ns
            )
        except WouldBeLate:
            return True
        return False

    assert [refused(due_s, None) for due_s in (0.6, 0.7)] == [False, True]
    assert [refused(due_s, now_ns - 1) for due_s in (1.9, 2.1)] == [False, True]
    assert not refused(100.0, now_ns - timely.FRESH_NS)
