"""Who is ended because the deadline cannot be met any more, and who goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from attendant.core.pace import Pace, StepWork
from attendant.engine.hopeless import DOUBT, LOOK_EVERY_NS, Hopeless
from attendant.engine.pace_learner import PaceLearner
from attendant.engine.sequence import Sequence
from attendant.engine.slot_pool import SlotPool
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import request

S = 1_000_000_000
NOW_NS = 10_000 * S
CONTEXT = 256


class Known(PaceLearner):
    """A step takes a second, whatever is in it, and a tenth for each row."""

    def __init__(self, num_steps: int = 100) -> None:
        super().__init__()
        self._pace = Pace(step=1.0, row=0.1, num_steps=num_steps)


def found(learner: PaceLearner | None = None) -> Hopeless:
    return Hopeless(learner or Known(), SlotPool(4, CONTEXT, 4 * CONTEXT))


def sequence(left_s: float | None, sure: int = 5, *, ends: bool = True, generated: int = 0) -> Sequence:
    """One of a prompt of 8 tokens that gets ``sure`` tokens, and has so much time."""
    asked = request("a", range(8), 64, None if left_s is None else NOW_NS + round(left_s * S), ignore_eos=True)
    made = Sequence(replace(asked, sure_tokens=sure, ends_hopeless=ends), 0, CONTEXT, ())
    if generated:
        made.slot, made.num_computed = 0, 8 + generated - 1
        made.num_tokens = 8 + generated
    return made


def waits(left_s: float | None, running: Iterable[Sequence] = (), num_waiting: int = 2, **asked: object) -> bool:
    one = sequence(left_s, **asked)  # type: ignore[arg-type]
    return found().waits_in_vain(one, NOW_NS, list(running), num_waiting)


def test_who_cannot_be_complete_gets_no_place() -> None:
    # a prompt, a second; four more tokens of 1.1 s
    assert waits(5.4 * DOUBT - 0.1)
    assert not waits(5.4 * DOUBT + 0.1)


def test_those_that_go_on_beside_it_make_its_steps_longer() -> None:
    beside = [sequence(None, generated=3) for _ in range(4)]
    assert waits(7.0 * DOUBT - 0.1, beside)  # 1 + 4 * 1.5
    assert not waits(7.0 * DOUBT + 0.1, beside)
    assert not waits(7.0 * DOUBT - 0.1, beside, num_waiting=1), "nobody takes their places when they end"


def test_who_has_the_engine_for_itself_goes_on() -> None:
    assert not waits(0.1, num_waiting=1), "it takes time from nobody"
    assert waits(0.1, [sequence(None, generated=1)], num_waiting=1)


@pytest.mark.parametrize(("left_s", "ends"), [(None, True), (0.1, False)])
def test_only_who_asks_for_it_is_ended(left_s: float | None, *, ends: bool) -> None:
    assert not waits(left_s, ends=ends)


def test_nobody_is_ended_by_a_pace_that_is_not_known() -> None:
    vague = found(Known(num_steps=1))
    assert not vague.waits_in_vain(sequence(0.1), NOW_NS, [], 9)
    assert not list(vague.run_in_vain([sequence(0.1, generated=1)], NOW_NS, 9))


def test_who_runs_in_vain_is_found_now_and_then() -> None:
    late, fine, free = (sequence(left_s, 9, generated=2) for left_s in (1.0, 60.0, None))
    hopeless, running = found(), [late, fine, free]
    assert list(hopeless.run_in_vain(running, NOW_NS, 1)) == [late]
    assert not list(hopeless.run_in_vain(running, NOW_NS + LOOK_EVERY_NS - 1, 1)), "a look costs time"
    assert list(hopeless.run_in_vain(running, NOW_NS + LOOK_EVERY_NS, 1)) == [late]
    assert not list(found().run_in_vain([late], NOW_NS, 0)), "alone it shows how long steps take now"


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 60), st.integers(1, 40), st.integers(0, 3), st.integers(2, 9))
def test_who_would_be_in_time_at_that_pace_is_never_ended(left_s: float, sure: int, num: int, waiting: int) -> None:
    needs_s = 1.0 + (sure - 1) * Known().pace.seconds(StepWork(rows=1 + num))
    if waits(left_s, [sequence(None, generated=1) for _ in range(num)], waiting, sure=sure):
        assert DOUBT * needs_s > left_s - 1e-6
