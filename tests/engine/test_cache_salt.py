"""What a cache entry belongs to is its salt: sequences share what is cached if their salts are equal, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from attendant.core.plan import Copy, CopyBlock, SetBlocks
from attendant.core.source import Source
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import AnyCuts
from attendant.engine.pool import KVPool
from attendant.engine.sequence import Sequence
from attendant.engine.slot_pool import SlotPool
from attendant.engine.source_memory import memories_of
from attendant.frontend.generation.router import PIECE_TOKENS, Router
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import request

CONTEXT, NUM_SEQS, BLOCK = 96, 4, 4
SALTS = (b"", b"tenant", b"adapter")
POOLS: dict[str, Callable[[], KVPool]] = {
    "slots": lambda: SlotPool(NUM_SEQS, CONTEXT, NUM_SEQS * CONTEXT, rule=AnyCuts()),
    "pages": lambda: BlockPool(NUM_SEQS, 60, BLOCK, CONTEXT, min_prefix=1),
}


class Memory:
    """What lies where, as (salt, token) pairs, by obeying a pool's moves."""

    def __init__(self) -> None:
        self.slots = np.full((NUM_SEQS, CONTEXT), -1, np.int64)
        self.blocks = np.full((60, BLOCK), -1, np.int64)
        self.tables: list[list[int]] = [[] for _ in range(NUM_SEQS)]

    def obey(self, pool: KVPool) -> None:
        for move in pool.take_moves():
            match move:
                case Copy(origin, target, length):
                    self.slots[target, :length] = self.slots[origin, :length]
                case SetBlocks(slot, first, blocks):
                    self.tables[slot][first:] = blocks
                case CopyBlock(origin, target):
                    self.blocks[target] = self.blocks[origin]

    def row(self, pool: KVPool, slot: int) -> np.ndarray:
        return self.slots[slot] if isinstance(pool, SlotPool) else self.blocks[self.tables[slot]].reshape(-1)

    def compute(self, pool: KVPool, sequence: Sequence) -> None:
        assert sequence.slot is not None
        values = marked(sequence)[sequence.num_computed :]
        for i, value in enumerate(values, sequence.num_computed):
            if isinstance(pool, SlotPool):
                self.slots[sequence.slot, i] = value
            else:
                self.blocks[self.tables[sequence.slot][i // BLOCK], i % BLOCK] = value
        sequence.advance(len(values))


def marked(sequence: Sequence) -> np.ndarray:
    return sequence.tokens[: sequence.num_tokens] + 1000 * SALTS.index(sequence.request.cache_salt)


def salted(id_: str, prompt: list[int], salt: bytes) -> Sequence:
    asked = replace(request(id_, prompt, 8), cache_salt=salt)
    return Sequence(asked, int(id_), CONTEXT, (), recomputes_in_rows=False)


ASKED = st.tuples(st.integers(0, 1), st.integers(1, 60), st.integers(1, 6), st.sampled_from(SALTS), st.integers(0, 3))


@pytest.mark.parametrize("kind", POOLS)
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(asked=st.lists(ASKED, min_size=2, max_size=14))
def test_what_is_found_has_the_finders_salt(kind: str, asked: list[tuple[int, int, int, bytes, int]]) -> None:
    pool, memory, placed = POOLS[kind](), Memory(), []
    for number, (family, shared, own, salt, leaving) in enumerate(asked):
        sequence = salted(str(number), [family] * shared + [100 + number] * own, salt)
        if not pool.acquire(sequence):
            continue
        memory.obey(pool)
        found = memory.row(pool, sequence.slot)[: sequence.num_computed]
        assert found.tolist() == marked(sequence)[: sequence.num_computed].tolist()
        memory.compute(pool, sequence)
        pool.check()
        placed.append(sequence)
        if leaving < len(placed):
            pool.release(placed.pop(leaving))
            pool.check()


@pytest.mark.parametrize("kind", POOLS)
@given(length=st.integers(17, 60), salt=st.sampled_from(SALTS), other=st.sampled_from(SALTS))
def test_equal_salts_share_and_different_ones_do_not(kind: str, length: int, salt: bytes, other: bytes) -> None:
    pool, memory = POOLS[kind](), Memory()
    prompt = list(range(length))
    first, second = salted("0", prompt, salt), salted("1", prompt, other)
    assert pool.acquire(first)
    memory.obey(pool)
    memory.compute(pool, first)
    assert pool.acquire(second)
    assert second.num_computed == (length - 1 if salt == other else 0)


@pytest.mark.parametrize("kind", POOLS)
def test_sequences_with_a_source_share_nothing(kind: str) -> None:
    pool = POOLS[kind]()
    for id_ in "01":
        asked = replace(request(id_, range(40), 8), source=Source({"input_ids": np.arange(50)}, 50))
        sequence = Sequence(asked, int(id_), CONTEXT, (), recomputes_in_rows=False, memories=memories_of(asked))
        assert pool.acquire(sequence)
        assert sequence.num_computed == 0
        sequence.advance(40)
        pool.check()
        pool.release(sequence)


def test_a_router_knows_a_prompt_by_its_salt() -> None:
    router, prompt = Router(2, 1000), tuple(range(2 * PIECE_TOKENS))
    home = router.place(prompt, b"tenant")
    assert router.place(prompt, b"tenant") == home
    assert router.place(prompt) != home
