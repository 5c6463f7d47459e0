"""How much longer than predicted something may take, learnt from what did."""

from __future__ import annotations

import time

import pytest
from attendant.core.errors import DeadlineExceeded, WouldBeLate
from attendant.frontend import timely
from attendant.frontend.margin import LEAST, Margin
from attendant.frontend.timely import MOST_STRETCH, Promise, Stretch, check_in_time


def test_a_promise_teaches_how_late_it_was_also_if_it_was_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)

    def kept(due_ns: int, took_ns: int, allowed_ns: int, *, broken: bool = False) -> float:
        nonlocal now_ns
        margin = Margin()
        try:
            with Promise(margin, due_ns, now_ns + allowed_ns):
                now_ns += took_ns
                if broken:
                    raise DeadlineExceeded("late")
        except DeadlineExceeded:
            pass
        return margin.value

    assert kept(600, 800, 1000) == pytest.approx(0.2)
    assert kept(600, 610, 1000) == LEAST
    assert kept(600, 1, 1000, broken=True) == LEAST, "one that was given up early says nothing"
    assert kept(600, 1000, 1000, broken=True) == pytest.approx(0.42), "it would have taken longer yet"


def test_what_was_not_promised_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    margin, stretch = Margin(), Stretch()
    for promise in (Promise(margin), Promise(margin, 100, None, stretch)):
        with promise:
            now_ns += 10**9
    assert (margin.value, stretch.value) == (LEAST, 1.0)
    with Promise(margin, 100, now_ns + 100, stretch, raw_ns=50):
        now_ns += 100
    assert stretch.value == 2, "of what was predicted without it"
    with Promise(margin) as promise:
        now_ns += 10**9
        promise.make(100, now_ns + 200)
        now_ns += 140
    assert margin.value == pytest.approx(0.2), "from where it was made on"


def test_a_stretch_is_what_things_take_on_average_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**12
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    stretch = Stretch()
    for actual in (1, 3) * 100:
        stretch.took(1e9, actual * 1e9)
    assert stretch.value == pytest.approx(2, rel=0.02)
    for _ in range(100):
        now_ns += 10**9
        stretch.took(1e9, 1e9)
    assert stretch.value == pytest.approx(1, rel=0.1)
    for _ in range(10):
        now_ns += 10**11
        stretch.took(1e9, 1e12)
    assert stretch.value == MOST_STRETCH


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

    assert [refused(due_s, None) for due_s in (0.79, 0.81)] == [False, True]
    assert [refused(due_s, now_ns - 1) for due_s in (1.9, 2.1)] == [False, True]
    assert not refused(100.0, now_ns - timely.FRESH_NS)
