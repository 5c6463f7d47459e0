"""Where results depend on the batch anyway: prompts cut anywhere, and computed again in chunks."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts, FixedCuts, FreeCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.sequence import Sequence
from attendant.engine.slot_pool import SlotPool

from tests.engine.helpers import BlockRunner, RecordingRunner, drain, expected, request

CONTEXT = 64


def pages(num_blocks: int = 65, **options: Any) -> tuple[KVPool, BlockRunner]:
    return BlockPool(4, num_blocks, 4, CONTEXT, **options), BlockRunner(4, num_blocks, 4)


def slots(capacity: int = 4 * CONTEXT, **options: Any) -> tuple[KVPool, RecordingRunner]:
    pool = SlotPool(4, CONTEXT, capacity, page_tokens=4, rule=AnyCuts(), **options)
    return pool, RecordingRunner(4, CONTEXT, exact=False)


def make(pool: KVPool, runner: BlockRunner | RecordingRunner, budget: int = 16) -> Engine:
    return Engine(Scheduler(pool, SchedulerLimits(4, budget, CONTEXT, (), AnyCuts())), runner)


def test_the_rules_say_how_generated_tokens_are_computed_again() -> None:
    assert (FreeCuts().recomputes_in_rows, FixedCuts(8).recomputes_in_rows) == (True, True)
    assert not AnyCuts().recomputes_in_rows


def test_cuts_fill_the_budget_to_the_last_token() -> None:
    rule = AnyCuts()
    assert (rule.cuts(3, 10, 9), rule.cuts(12, 1, 9), rule.cuts(0, 5, 0)) == ([9], [1], [])
    assert rule.reusable(7) == 7


@pytest.mark.parametrize(("computed", "missing", "decodes"), [(0, 5, False), (3, 2, False), (4, 1, True)])
def test_a_single_missing_token_decodes(computed: int, missing: int, decodes: bool) -> None:
    sequence = Sequence(request("r", [1, 2, 3]), 0, CONTEXT, (), recomputes_in_rows=False)
    sequence.append(4, 1)
    sequence.append(5, 1)
    sequence.num_computed = computed
    assert (sequence.num_prefill_missing, sequence.decodes) == (missing, decodes)


@pytest.mark.parametrize("place", [pages, slots])
def test_the_last_token_of_a_prompt_is_a_decode_row(place: Any) -> None:
    pool, runner = place()
    engine = make(pool, runner, budget=9)
    engine.submit(request("r", list(range(10)), 2))
    collected = drain(engine)
    assert [(len(p.decodes), [len(c.tokens) for c in p.prefills]) for p in runner.plans] == [(0, [9]), (1, []), (1, [])]
    assert collected.answer("r")[:2] == expected(range(10), 2, context=CONTEXT)


def test_a_prompt_whose_rest_was_cached_is_a_decode_row() -> None:
    pool, runner = pages()
    engine = make(pool, runner)
    engine.submit(request("a", list(range(9)), 1))
    drain(engine)
    engine.submit(request("b", list(range(9)), 1))
    collected = drain(engine)
    assert (len(runner.plans[-1].decodes), runner.plans[-1].prefills) == (1, ())
    assert collected.ends["b"].usage.cached_tokens == 8
    assert collected.answer("b")[:2] == expected(range(9), 1, context=CONTEXT)


@pytest.mark.parametrize("prefix_cache", [False, True])
@pytest.mark.parametrize("place", [lambda **o: pages(21, **o), lambda **o: slots(CONTEXT + 16, **o)])
def test_preempted_sequences_compute_their_tokens_again_in_chunks(place: Any, prefix_cache: bool) -> None:
    pool, runner = place(prefix_cache=prefix_cache)
    engine = make(pool, runner)
    for i in range(4):
        engine.submit(request(str(i), [i + 1] * 10, 40))
    collected = drain(engine)
    assert engine._scheduler.num_preemptions > 0
    for i in range(4):
        assert collected.answer(str(i))[:2] == expected([i + 1] * 10, 40, context=CONTEXT)
    again = [c for plan in runner.plans for c in plan.prefills if c.start + len(c.tokens) > 10]
    assert any(len(c.tokens) > 1 and c.sample for c in again), "generated tokens, in a chunk that samples at its end"
    assert all(len(c.tokens) > 1 for plan in runner.plans for c in plan.prefills)
    pool.check()
    assert pool.used_tokens == 0
