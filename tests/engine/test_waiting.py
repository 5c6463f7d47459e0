"""The queue's order is a key: whatever it is, everything that is submitted ends exactly once, with its own answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import ANYWHERE, AnyCuts, ChunkRule
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.sequence import Sequence
from attendant.engine.slot_pool import SlotPool
from attendant.engine.waiting import OrderKey, WaitingQueue, by_arrival
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import BlockRunner, Collected, RecordingRunner, drain, expected, request

CONTEXT, NUM_SEQS = 48, 3
KEYS: dict[str, OrderKey] = {
    "arrival": by_arrival,
    "last come, first served": lambda sequence: -sequence.order,
    "short prompts first": lambda sequence: sequence.num_prompt,
    "in classes": lambda sequence: (sequence.order % 3, -sequence.max_tokens),
    "all alike": lambda sequence: 0,
    "by name": lambda sequence: sequence.request.id[::-1],
}


def pages() -> tuple[KVPool, Any]:
    return BlockPool(NUM_SEQS, 18, 4, CONTEXT), BlockRunner(NUM_SEQS, 18, 4)


def slots() -> tuple[KVPool, Any]:
    return SlotPool(NUM_SEQS, CONTEXT, 68, page_tokens=4), RecordingRunner(NUM_SEQS, CONTEXT)


EVENT = st.one_of(
    st.tuples(st.just("submit"), st.integers(0, 2), st.integers(1, 30), st.integers(1, 17)),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("cancel"), st.integers(0, 15)),
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("make", [pages, slots])
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(events=st.lists(EVENT, min_size=4, max_size=30))
def test_everything_submitted_ends_once(
    key: str, make: Callable[[], tuple[KVPool, Any]], events: list[tuple[Any, ...]]
) -> None:
    pool, runner = make()
    rule: ChunkRule = AnyCuts() if make is pages else ANYWHERE
    limits = SchedulerLimits(NUM_SEQS, 16, CONTEXT, rule=rule)
    scheduler = Scheduler(pool, limits, KEYS[key])
    engine, collected = Engine(scheduler, runner), Collected()
    asked: dict[str, tuple[list[int], int]] = {}
    cancelled = set()
    for kind, *what in events:
        if kind == "submit":
            family, length, max_tokens = what
            id_ = str(len(asked))
            asked[id_] = ([family] * (length - 1) + [len(asked)], max_tokens)
            engine.submit(request(id_, *asked[id_]))
        elif kind == "step":
            for _ in range(what[0] if engine.has_work else 0):
                collected.take(engine.step().events)
        else:
            cancelled.add(str(what[0]))
            engine.cancel(str(what[0]))
    if engine.has_work:
        drain(engine, collected, max_steps=2000)
    collected.take(scheduler.take_events())
    pool.check()
    assert collected.ends.keys() == asked.keys()
    for id_, (prompt, max_tokens) in asked.items():
        tokens, reason, _ = collected.answer(id_)
        want, want_reason = expected(prompt, max_tokens, context=CONTEXT)
        assert (tokens, reason) == (want, want_reason) or (reason == "cancelled" and id_ in cancelled)
        assert tokens == want[: len(tokens)]


@pytest.mark.parametrize("key", ["arrival", "last come, first served"])
def test_the_last_in_order_gives_way(key: str) -> None:
    pool, runner = pages()
    scheduler = Scheduler(pool, SchedulerLimits(NUM_SEQS, 16, CONTEXT, rule=AnyCuts()), KEYS[key])
    engine = Engine(scheduler, runner)
    for id_ in "012":
        engine.submit(request(id_, [int(id_)] * 5, 40))
    collected = drain(engine)
    assert scheduler.num_preemptions > 0
    assert list(collected.ends) == (["0", "1", "2"] if key == "arrival" else ["2", "1", "0"])


def sequence(id_: str, order: int, length: int) -> Sequence:
    return Sequence(request(id_, [1] * length), order, CONTEXT, ())


def test_the_queue_is_in_order_of_its_key_and_of_arrival_among_equals() -> None:
    queue = WaitingQueue(lambda one: one.num_prompt)
    ones = [sequence(str(i), i, length) for i, length in enumerate((5, 3, 9, 3))]
    for one in reversed(ones):
        queue.add(one)
    queue.remove(ones[0])
    found = []
    while first := queue.first():
        found.append(first.id)
        queue.remove(first)
    assert found == ["1", "3", "2"]
    assert queue.victim(ones).id == "2"
    assert queue.victim(ones[:2]).id == "0"
    assert len(queue) == 0
