"""Where prompts are cut, alone and under a scheduler."""

from __future__ import annotations

import pytest
from attendant.engine.chunking import ANYWHERE, ChunkRule, FixedCuts, FreeCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.helpers import RecordingRunner, drain, request

CONTEXT = 64


def make(
    num_slots: int, budget: int, rule: ChunkRule = ANYWHERE, context: int = CONTEXT
) -> tuple[Engine, RecordingRunner]:
    pool = SlotPool(num_slots, context, 4 * context, page_tokens=4, rule=rule)
    runner = RecordingRunner(num_slots, context)
    return Engine(Scheduler(pool, SchedulerLimits(num_slots, budget, context, rule=rule)), runner), runner


@pytest.mark.parametrize("length", range(2, 30))
def test_no_prompt_is_cut_so_that_one_token_is_left(length: int) -> None:
    engine, runner = make(num_slots=1, budget=5)
    engine.submit(request("r", [1] * length, 1))
    drain(engine)
    assert min(len(c.tokens) for plan in runner.plans for c in plan.prefills) >= 2


@given(st.integers(2, 400), st.integers(3, 300), st.lists(st.sampled_from([16, 32, 64, 128]), max_size=2, unique=True))
def test_free_cuts_leave_no_tile_with_a_single_row_and_make_progress(
    missing: int, budget: int, tiles: list[int]
) -> None:
    rule, start = FreeCuts(tuple(tiles)), 0
    while missing:
        cuts = rule.cuts(start, missing, budget)
        assert 0 < sum(cuts) <= min(budget, missing)
        assert all(length >= 2 and all(length % tile != 1 for tile in tiles) for length in cuts)
        start, missing = start + sum(cuts), missing - sum(cuts)


@pytest.mark.parametrize("budget", [8, 20, 64])
def test_fixed_cuts_do_not_depend_on_the_budget(budget: int) -> None:
    engine, runner = make(4, budget, FixedCuts(16))
    for i in range(3):
        engine.submit(request(str(i), [1] * 30 + [i] * 12, 2))
        engine.step()
    drain(engine)
    for i in range(3):
        chunks = [c for plan in runner.plans for c in plan.prefills if c.request_id == str(i)]
        assert [(c.start, len(c.tokens)) for c in chunks] == [(0, 16), (16, 16), (32, 10)][-len(chunks) :]


def test_a_rest_of_the_budget_too_small_to_be_worth_a_run_is_left() -> None:
    engine, runner = make(4, 260, context=512)
    for i, length in enumerate((128, 128, 128, 3)):
        engine.submit(request(str(i), [i] * length, 2))
    engine.step()
    engine.step()
    pieces = [[(c.request_id, len(c.tokens)) for c in plan.prefills] for plan in runner.plans]
    assert pieces == [[("0", 128), ("1", 128)], [("2", 128), ("3", 3)]]
