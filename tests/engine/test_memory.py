"""Memory beside the KV cache, as a new kind of it would be: rows are few, and each is fed before its sequence runs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from typing import Any

import pytest
from attendant.core.plan import CopyRow, Feed, Move, StepOutput, StepPlan
from attendant.core.request import Request
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import ANYWHERE, AnyCuts, ChunkRule
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.memory import ANY_LENGTH, Memories, SequenceMemory
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import BlockRunner, RecordingRunner, drain, expected, request

CONTEXT, NUM_SEQS = 48, 4


class Rows:
    """A ledger that all memories of an engine share: so many rows at once."""

    def __init__(self, number: int) -> None:
        self.number, self.taken, self.most = number, 0, 0


class FedMemory:
    """A row of the ledger, fed anew for each place with what counts as so many positions."""

    longest_chunk, shares_prefixes = ANY_LENGTH, True

    def __init__(self, rows: Rows, size: int) -> None:
        self._rows = rows
        self.size = size
        self.is_missing = True

    def reserve(self) -> bool:
        if self._rows.taken == self._rows.number:
            return False
        self._rows.taken += 1
        self._rows.most = max(self._rows.most, self._rows.taken)
        return True

    def release(self) -> None:
        self._rows.taken -= 1
        self.is_missing = True

    def feed(self, request_id: str, slot: int) -> Feed:
        self.is_missing = False
        return Feed(request_id, slot, "fed", request_id, self.size)

    def follow(self, origin: int, target: int) -> tuple[Move, ...]:
        return () if self.is_missing else (CopyRow("fed", origin, target),)

    def fork(self, parent: SequenceMemory, origin: int, target: int) -> tuple[Move, ...]:
        raise AssertionError("there are no beams here")


class Checked:
    """A runner, and a picture of what each row was fed with."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._rows: dict[int, str] = {}
        self.num_feeds = 0

    def move(self, moves: SequenceOf[Move]) -> None:
        for move in moves:
            if isinstance(move, CopyRow):
                self._rows[move.target] = self._rows[move.origin]
        self._runner.move(tuple(move for move in moves if not isinstance(move, CopyRow)))

    def run(self, plan: StepPlan) -> StepOutput:
        for feed in plan.feeds:
            self._rows[feed.slot] = str(feed.content)
            self.num_feeds += 1
        for chunk in (*plan.decodes, *plan.prefills):
            assert self._rows[chunk.slot] == chunk.request_id, "the row is not the sequence's"
        return self._runner.run(plan)


def pages() -> tuple[KVPool, Any]:
    return BlockPool(NUM_SEQS, 22, 4, CONTEXT), BlockRunner(NUM_SEQS, 22, 4)


def slots() -> tuple[KVPool, Any]:
    return SlotPool(NUM_SEQS, CONTEXT, 84, page_tokens=4), RecordingRunner(NUM_SEQS, CONTEXT)


@pytest.mark.parametrize("make", [pages, slots])
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    asked=st.lists(st.tuples(st.integers(1, 25), st.integers(1, 20), st.integers(1, 4)), min_size=1, max_size=9),
    number=st.integers(1, NUM_SEQS),
    size=st.sampled_from([0, 3, 40]),
)
def test_rows_are_fed_before_they_are_used_and_given_back(
    make: Callable[[], tuple[KVPool, Any]], asked: list[tuple[int, int, int]], number: int, size: int
) -> None:
    (pool, runner), rows = make(), Rows(number)

    def memories(request: Request) -> tuple[SequenceMemory, ...]:
        return (FedMemory(rows, size),)

    rule: ChunkRule = AnyCuts() if make is pages else ANYWHERE
    limits = SchedulerLimits(NUM_SEQS, 16, CONTEXT, rule=rule, memories=memories)
    checked = Checked(runner)
    scheduler = Scheduler(pool, limits)
    engine = Engine(scheduler, checked)
    for i, (length, max_tokens, _) in enumerate(asked):
        engine.submit(request(str(i), [i % 2] * (length - 1) + [50 + i], max_tokens))
    collected = drain(engine)
    pool.check()
    assert (rows.taken, rows.most) == (0, min(number, rows.most))
    assert checked.num_feeds == len(asked) + scheduler.num_preemptions
    for i, (length, max_tokens, _) in enumerate(asked):
        prompt = [i % 2] * (length - 1) + [50 + i]
        assert collected.answer(str(i))[:2] == expected(prompt, max_tokens, context=CONTEXT)
        assert collected.ends[str(i)].usage.prompt_tokens == length + size, "what a row is fed with counts as prompt"


def test_rows_of_several_kinds_are_taken_together_or_not_at_all() -> None:
    one, other = Rows(2), Rows(0)
    memories = Memories((FedMemory(one, 1), FedMemory(other, 1)))
    assert not memories.reserve()
    assert (one.taken, other.taken) == (0, 0)
    other.number = 1
    assert memories.reserve()
    assert (memories.num_missing, [feed.size for feed in memories.feeds("r", 0)], memories.num_missing) == (
        2,
        [1, 1],
        0,
    )
    memories.release()
    assert (one.taken, other.taken, memories.is_missing) == (0, 0, True)
