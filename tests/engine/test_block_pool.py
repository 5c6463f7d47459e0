"""The rules of pages, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.plan import CopyBlock, CopyRow, SetBlocks
from attendant.core.source import SOURCES, Source
from attendant.engine.block_pool import BlockPool
from attendant.engine.blocks import Blocks
from attendant.engine.prefix_index import add_digests
from attendant.engine.sequence import Sequence
from attendant.engine.source_memory import memories_of

from tests.engine.helpers import request

CONTEXT = 64


def make(num_blocks: int = 33, block_size: int = 4, num_slots: int = 4, **options: Any) -> BlockPool:
    return BlockPool(num_slots, num_blocks, block_size, CONTEXT, **options)


def sequence(id_: str, prompt: list[int]) -> Sequence:
    return Sequence(request(id_, prompt, CONTEXT), int(id_), CONTEXT, (), recomputes_in_rows=False)


def placed(pool: BlockPool, id_: str, prompt: list[int], computed: int | None = None) -> Sequence:
    """A sequence with a place, of which ``computed`` tokens (all by default) have been computed."""
    one = sequence(id_, prompt)
    assert pool.acquire(one)
    pool.check()
    one.num_computed = max(one.num_computed, len(prompt) if computed is None else computed)
    return one


def blocks_of(pool: BlockPool, one: Sequence) -> tuple[int, ...]:
    return tuple(pool._tables[one.slot].blocks)


def decode(pool: BlockPool, one: Sequence, count: int) -> None:
    """Generate and compute ``count`` tokens."""
    for _ in range(count):
        one.append(90, 1)
        assert pool.extend(one, one.num_tokens)
        one.num_computed = one.num_tokens


def test_memory_is_given_by_need_and_block_0_never() -> None:
    pool = make(num_blocks=17)
    assert (pool.capacity_tokens, pool.used_tokens) == (64, 0)
    one = placed(pool, "1", [1] * 7)
    assert pool.used_tokens == 8, "seven tokens and the next"
    assert pool.take_moves() == (SetBlocks(0, 0, blocks_of(pool, one)),)
    decode(pool, one, 1)
    assert pool.take_moves() == ()
    decode(pool, one, 1)
    assert pool.take_moves() == (SetBlocks(0, 2, blocks_of(pool, one)[2:]),)
    decode(pool, one, CONTEXT - one.num_tokens)
    assert sorted(blocks_of(pool, one)) == list(range(1, 17))
    pool.check()


def test_sequences_take_the_lowest_free_row() -> None:
    pool = make(num_slots=2)
    first, second = placed(pool, "1", [1]), placed(pool, "2", [2])
    assert (first.slot, second.slot) == (0, 1)
    assert not pool.acquire(sequence("3", [3]))
    pool.release(first)
    assert placed(pool, "4", [4]).slot == 0


def test_full_blocks_are_shared_while_their_owner_runs() -> None:
    pool = make()
    first = placed(pool, "1", list(range(11)))
    second = placed(pool, "2", [*range(8), 98, 99])
    assert second.num_cached == 8
    assert blocks_of(pool, second)[:2] == blocks_of(pool, first)[:2]
    assert pool.used_tokens == 4 * 4, "shared blocks count once"
    pool.release(first)
    pool.check()
    assert pool.used_tokens == 3 * 4
    assert (pool.prefix_stats.queries, pool.prefix_stats.hits) == (21, 8)


def test_only_what_is_computed_is_found() -> None:
    pool = make()
    placed(pool, "1", list(range(30)), computed=9)
    assert placed(pool, "2", list(range(30)), computed=0).num_cached == 8


def test_generated_tokens_are_found_too() -> None:
    pool = make()
    first = placed(pool, "1", [1, 2, 3])
    decode(pool, first, 10)
    assert placed(pool, "2", [1, 2, 3, *[90] * 9, 7]).num_cached == 12


def test_one_token_is_left_to_compute() -> None:
    pool = make()
    first = placed(pool, "1", list(range(8)))
    second = placed(pool, "2", list(range(8)), computed=0)
    assert second.num_computed == 4, "a part of a block of 4 is not worth a copy"
    pool.release(first)
    assert placed(pool, "3", list(range(8)), computed=0).num_computed == 4


@pytest.mark.parametrize("running", [True, False])
def test_the_beginning_of_a_block_is_copied(running: bool) -> None:
    pool = make(num_blocks=9, block_size=32)
    first = placed(pool, "1", list(range(30)))
    source = blocks_of(pool, first)[0]
    if not running:
        pool.release(first)
    pool.take_moves()
    second = placed(pool, "2", [*range(20), 98, 99], computed=0)
    target = blocks_of(pool, second)[0]
    assert second.num_computed == 20
    assert pool.take_moves() == (CopyBlock(source, target), SetBlocks(second.slot, 0, (target,)))


def test_copies_of_one_prompt_compute_one_token_each() -> None:
    pool = make(num_blocks=9, block_size=32)
    placed(pool, "1", list(range(30)))
    others = [placed(pool, str(i), list(range(30)), computed=0) for i in (2, 3)]
    assert [one.num_computed for one in others] == [29, 29]
    assert all(one.decodes for one in others)


def test_short_beginnings_are_not_worth_a_copy() -> None:
    pool = make(num_blocks=9, block_size=32)
    placed(pool, "1", list(range(30)))
    assert placed(pool, "2", [*range(15), 98, 99], computed=0).num_computed == 0
    assert placed(pool, "3", [*range(16), 98, 99], computed=0).num_computed == 16


def test_the_longest_beginning_among_the_latest_is_copied() -> None:
    pool = make(num_blocks=20, block_size=32)
    for i, length in enumerate((20, 28, 24)):
        pool.release(placed(pool, str(i), [*range(length), 70 + i]))
    assert placed(pool, "3", [*range(30), 99], computed=0).num_computed == 28
    for i in range(4, 12):
        pool.release(placed(pool, str(i), [50 + i] * 20))
    assert placed(pool, "12", [*range(30), 98], computed=0).num_computed == 0, "eight others were used since"


def test_the_source_of_a_copy_may_be_the_block_that_is_given_out() -> None:
    pool = make(num_blocks=3, block_size=32)
    pool.release(placed(pool, "1", list(range(30))))
    pool.release(placed(pool, "2", [7] * 30))
    pool.take_moves()
    third = placed(pool, "3", [*range(20), *[99] * 20], computed=0)
    moves = pool.take_moves()
    assert third.num_computed == 20
    assert moves[0] == CopyBlock(blocks_of(pool, third)[1], blocks_of(pool, third)[0])
    pool.release(third)
    assert pool.used_tokens == 0
    fourth = placed(pool, "4", [*range(20), *[98] * 20], computed=0)
    assert fourth.num_computed == 20
    pool.check()


def test_a_sequence_finds_its_own_tokens_again() -> None:
    pool = make(num_blocks=9, block_size=32)
    first = placed(pool, "1", list(range(30)))
    decode(pool, first, 20)
    first.append(91, 1)
    pool.release(first)
    assert (first.slot, first.num_computed) == (None, 0)
    assert pool.acquire(first)
    assert (first.num_computed, first.num_cached) == (50, 0)
    assert first.decodes


def test_equal_blocks_computed_twice_are_kept_once() -> None:
    pool = make()
    twins = [placed(pool, i, list(range(9)), computed=0) for i in ("1", "2")]
    for one in twins:
        one.num_computed = 9
    for one in twins:
        pool.release(one)
    pool.check()
    third = placed(pool, "3", list(range(9)), computed=0)
    assert third.num_computed == 8


def test_memory_is_taken_from_the_least_recently_used_and_from_their_tails() -> None:
    pool = make(num_blocks=17)
    for i, token in enumerate((1, 2, 3)):
        pool.release(placed(pool, str(i), [token] * 16))
    pool.release(placed(pool, "3", [1] * 17))  # used again
    pool.release(placed(pool, "4", [9] * 23))  # four were free, two more had to go
    for token, found in ((1, 16), (3, 16), (2, 8)):
        one = placed(pool, str(4 + token), [token] * 17, computed=0)
        assert one.num_computed == found
        pool.release(one)


def test_admission_leaves_a_block_for_each_that_runs() -> None:
    pool = make(num_blocks=17)
    placed(pool, "1", [1] * 20)
    placed(pool, "2", [2] * 19)
    assert not pool.acquire(sequence("3", [3] * 16)), "five blocks are free, and two run"
    assert pool.acquire(sequence("4", [4] * 10))
    pool.check()


def test_nothing_is_asked_of_others_when_nothing_runs() -> None:
    pool = make(num_blocks=17)
    pool.release(placed(pool, "1", [1] * 50))
    assert pool.acquire(sequence("2", [2] * 63))
    assert pool.used_tokens == 64


def test_memory_runs_out_only_when_all_of_it_is_held() -> None:
    pool = make(num_blocks=17)
    pool.release(placed(pool, "1", [1] * 23))
    placed(pool, "2", [2] * 30)
    third = placed(pool, "3", [3] * 15)
    decode(pool, third, 17)
    assert pool.used_tokens == pool.capacity_tokens
    third.append(1, 1)
    assert not pool.extend(third, third.num_tokens)
    pool.check()


def test_without_a_prefix_cache_nothing_is_kept() -> None:
    pool = make(prefix_cache=False)
    pool.release(placed(pool, "1", list(range(30))))
    assert placed(pool, "2", list(range(30)), computed=0).num_cached == 0
    pool.check()


def test_asking_in_vain_again_and_again_hashes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = make(num_blocks=17)
    placed(pool, "1", [1] * 40)
    hashed: list[object] = []

    def refuse(*data: object, **_: object) -> None:
        hashed.append(data)
        raise ZeroDivisionError

    monkeypatch.setattr("attendant.engine.prefix_index.hashlib.blake2b", refuse)
    waiting = sequence("2", [2] * 3)
    assert pool.acquire(waiting)
    assert not hashed, "less than a block"
    monkeypatch.undo()
    refused = sequence("3", [3] * 40)
    assert not pool.acquire(refused)
    monkeypatch.setattr("attendant.engine.prefix_index.hashlib.blake2b", lambda *a, **k: 1 / 0)
    assert not pool.acquire(refused)


def test_digests_name_the_chain_and_not_the_block_alone() -> None:
    one: list[bytes] = []
    add_digests(one, np.array([1, 2, 1, 2, 5]), 2)
    assert len(one) == 2
    assert one[0] != one[1]
    other = one[:1]
    add_digests(other, np.array([1, 2, 1, 2]), 2)
    assert other == one


def test_a_table_that_does_not_add_up_is_noticed() -> None:
    pool = make()
    one = placed(pool, "1", list(range(9)))
    other = placed(pool, "2", [7] * 9, computed=0)
    pool.check()
    pool._tables[other.slot].blocks[0] = blocks_of(pool, one)[0]
    with pytest.raises(AssertionError):
        pool.check()


def test_blocks_are_free_held_or_kept() -> None:
    blocks = Blocks(4)
    first, second = blocks.take(), blocks.take()
    blocks.share(first)
    blocks.drop(first, keep=True)
    assert (blocks.num_held, blocks.num_available) == (2, 1)
    blocks.drop(first, keep=True)
    blocks.drop(second, keep=False)
    assert (blocks.num_held, blocks.num_available) == (0, 3)
    assert [blocks.take() for _ in range(3)] == [second, 3, first], "free ones first"


def test_a_sequence_that_lost_its_place_has_its_source_encoded_again() -> None:
    pool = make()
    source = Source({"input_ids": np.arange(5)}, 5)
    asked = replace(request("1", [1] * 6, CONTEXT), source=source)
    one = Sequence(asked, 1, CONTEXT, (), recomputes_in_rows=False, memories=memories_of(asked))
    assert one.memories.is_missing
    assert pool.acquire(one)
    assert [feed.size for feed in one.feeds()] == [5]
    assert not one.memories.is_missing
    one.advance(6)
    pool.release(one)
    assert one.memories.is_missing
    assert (one.slot, one.num_computed) == (None, 0)
    other = placed(pool, "2", [1] * 6)
    pool.release(other)
    assert not other.memories.is_missing, "it has none"


def test_a_beam_gets_the_source_of_its_parent_once() -> None:
    pool = make()
    asked = replace(request("1", [1] * 6, CONTEXT), source=Source({"input_ids": np.arange(5)}, 5))
    parent, child = (
        Sequence(asked, 1, CONTEXT, (), recomputes_in_rows=False, name=name, memories=memories_of(asked))
        for name in ("1", "1/1")
    )
    for one in (parent, child):
        assert pool.acquire(one)
    parent.feeds()
    parent.advance(6)
    pool.take_moves()
    pool.fork(parent, child, 0)
    assert CopyRow(SOURCES, parent.slot, child.slot) in pool.take_moves()
    child.take_over(parent)
    pool.fork(parent, child, 5)
    assert not any(isinstance(move, CopyRow) for move in pool.take_moves())
    pool.check()
