"""The slot pool as a state machine: random acquire, compute, extend, release, arrange."""

from __future__ import annotations

import numpy as np
from attendant.core.plan import Copy, Trim
from attendant.engine.chunking import FixedCuts
from attendant.engine.sequence import Sequence
from attendant.engine.slot_pool import HOLE_PATIENCE, SlotPool
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.helpers import request

PAGE, MAX_LENGTH = 4, 64


class PoolMachine(RuleBasedStateMachine):
    """Keeps a picture of the memory by obeying the moves, and holds it against what the pool believes."""

    @initialize(num_slots=st.integers(1, 6), pages=st.integers(16, 60), prefix_cache=st.booleans())
    def start(self, num_slots: int, pages: int, prefix_cache: bool) -> None:
        self.pool = SlotPool(num_slots, MAX_LENGTH, pages * PAGE, page_tokens=PAGE, prefix_cache=prefix_cache)
        self.memory = np.full((num_slots, MAX_LENGTH), -1, np.int64)
        self.placed: list[Sequence] = []
        self.count = 0

    def obey(self) -> None:
        for move in self.pool.take_moves():
            match move:
                case Copy(source, target, length):
                    assert source != target
                    self.memory[target, :length] = self.memory[source, :length]
                case Trim(slot, start):
                    self.memory[slot, start:] = -1

    @rule(family=st.integers(0, 2), shared=st.integers(0, 50), own=st.integers(1, 10))
    def acquire(self, family: int, shared: int, own: int) -> None:
        self.count += 1
        prompt = [family] * shared + [100 + self.count] * own
        sequence = Sequence(request(str(self.count), prompt, max_tokens=MAX_LENGTH), self.count, MAX_LENGTH, ())
        if self.pool.acquire(sequence):
            self.placed.append(sequence)
            self.obey()
            assert sequence.num_computed < sequence.num_tokens

    @precondition(lambda self: self.placed)
    @rule(pick=st.integers(0, 99), amount=st.integers(1, 70))
    def compute(self, pick: int, amount: int) -> None:
        """Compute known tokens, then generate: never beyond what the pool promised."""
        sequence = self.placed[pick % len(self.placed)]
        for _ in range(amount):
            if sequence.num_computed == sequence.num_tokens:
                if sequence.num_tokens + 1 >= MAX_LENGTH:
                    return
                sequence.append(200 + sequence.num_tokens, 1)
            if not self.pool.extend(sequence, sequence.num_computed + 1):
                return
            self.obey()
            self.memory[sequence.slot, sequence.num_computed] = sequence.tokens[sequence.num_computed]
            sequence.num_computed += 1

    @precondition(lambda self: self.placed)
    @rule(pick=st.integers(0, 99))
    def release(self, pick: int) -> None:
        sequence = self.placed.pop(pick % len(self.placed))
        self.pool.release(sequence)
        assert sequence.slot is None

    @precondition(lambda self: self.placed)
    @rule(data=st.data(), steps=st.integers(1, 2 * HOLE_PATIENCE))
    def arrange(self, data: st.DataObject, steps: int) -> None:
        decoding = [s for s in self.placed if s.num_computed and data.draw(st.booleans())]
        for _ in range(steps):
            fillers = self.pool.arrange(decoding)
            self.obey()
            rows = sorted([s.slot for s in decoding] + [f.slot for f in fillers])
            assert rows == list(range(len(rows)))
            for filler in fillers:
                assert filler.position < MAX_LENGTH
                self.memory[filler.slot, filler.position] = -2
        assert steps < HOLE_PATIENCE or not {f.slot for f in fillers} - {s.slot for s in self.placed}

    @invariant()
    def memory_is_what_the_pool_believes(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.pool.check()
        for slot in self.pool._slots:
            content = slot.content
            assert self.memory[slot.index, : len(content)].tolist() == content.tolist()


PoolMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase


def placed(pool: SlotPool, id_: str, prompt: list[int]) -> Sequence:
    sequence = Sequence(request(id_, prompt, 16), int(id_), MAX_LENGTH, ())
    assert pool.acquire(sequence)
    sequence.num_computed = len(prompt)
    return sequence


def test_a_free_slot_with_the_prefix_is_taken_where_it_is() -> None:
    pool = SlotPool(4, MAX_LENGTH, 4 * MAX_LENGTH, page_tokens=PAGE)
    pool.release(placed(pool, "1", list(range(30))))
    again = placed(pool, "2", [*range(30), 98, 99])
    assert (again.slot, again.num_cached, pool.take_moves()) == (0, 30, ())


def test_a_prefix_in_use_is_copied() -> None:
    pool = SlotPool(4, MAX_LENGTH, 4 * MAX_LENGTH, page_tokens=PAGE)
    placed(pool, "1", list(range(30)))
    second = placed(pool, "2", [*range(20), 98, 99])
    assert (second.slot, second.num_cached, pool.take_moves()) == (1, 20, (Copy(0, 1, 20),))


def test_an_unrelated_prompt_does_not_cost_another_conversation_its_cache() -> None:
    pool = SlotPool(4, MAX_LENGTH, 4 * MAX_LENGTH, page_tokens=PAGE)
    pool.release(placed(pool, "1", list(range(30))))
    pool.release(placed(pool, "2", [7] * 30))
    third = placed(pool, "3", [*range(30), 5, 6])
    assert third.num_cached == 30


def test_memory_of_cached_prefixes_yields_to_running_sequences() -> None:
    pool = SlotPool(4, MAX_LENGTH, MAX_LENGTH, page_tokens=PAGE)
    pool.release(placed(pool, "1", list(range(40))))
    second = placed(pool, "2", [7] * 40)
    assert second.num_cached == 0
    pool.check()


def test_generated_tokens_are_not_a_prompts_prefix_but_are_found_again_by_their_own_sequence() -> None:
    pool = SlotPool(4, MAX_LENGTH, 4 * MAX_LENGTH, page_tokens=PAGE)
    first = placed(pool, "1", list(range(20)))
    for token in range(20, 30):
        first.append(token, 1)
        first.num_computed += 1
    first.append(30, 1)
    pool.release(first)
    next_turn = placed(pool, "2", list(range(35)))
    assert next_turn.num_cached == 20
    pool.release(next_turn)
    assert pool.acquire(first)
    assert first.num_computed == 18, "the next turn's chunks have taken the place of its decode rows"


def test_prefixes_end_where_chunks_are_cut() -> None:
    pool = SlotPool(4, MAX_LENGTH, 4 * MAX_LENGTH, page_tokens=PAGE, rule=FixedCuts(16))
    placed(pool, "1", list(range(40)))
    assert placed(pool, "2", [*range(40), 98, 99]).num_cached == 32


def test_a_token_that_was_computed_in_a_decode_row_is_no_beginning_of_a_prompt() -> None:
    """A prompt of one token is computed so: to the bit, that is not what a chunk has at its place."""
    pool = SlotPool(1, MAX_LENGTH, MAX_LENGTH)
    one = placed(pool, "1", [7])
    one.append(8, 1)
    one.advance(1)
    pool.release(one)
    longer = Sequence(request("2", [7, 8, 9, 10, 11], 16), 2, MAX_LENGTH, ())
    assert pool.acquire(longer)
    assert longer.num_computed == 0


def test_a_prompt_of_one_token_finds_its_answer_again() -> None:
    pool = SlotPool(1, MAX_LENGTH, MAX_LENGTH)
    one = placed(pool, "1", [7])
    for token in range(8, 12):
        one.append(token, 1)
        one.advance(1)
    pool.release(one)
    assert pool.acquire(one)
    assert one.num_computed == 4, "all but the last, which is to be computed"
