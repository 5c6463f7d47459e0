"""Every decode step within the limits has a shape to run in, the smallest, and its bounds are true."""

from __future__ import annotations

import itertools

from attendant.runtime.decode_graphs import GraphKey, GraphKeys
from hypothesis import given
from hypothesis import strategies as st

LIMITS = st.tuples(st.integers(1, 256), st.integers(1, 600), st.sampled_from([4, 16, 256]))


@given(LIMITS, st.data())
def test_every_step_gets_the_smallest_key_that_holds_it(limits: tuple[int, int, int], data: st.DataObject) -> None:
    max_num_seqs, max_columns, block_size = limits
    keys = GraphKeys(max_num_seqs, max_columns, block_size)
    sequences = data.draw(st.integers(1, max_num_seqs))
    longest = data.draw(st.integers(1, max_columns * block_size))
    columns = -(-longest // block_size)

    key = keys.of(sequences, columns)
    holding = [k for k in keys if k.num_sequences >= sequences and k.num_columns >= columns]
    assert key == min(holding, key=lambda k: (k.num_sequences, k.num_columns))
    assert 1 <= keys.shortest(key) <= longest <= key.num_columns * block_size


@given(LIMITS)
def test_keys_cover_the_limits_and_nothing_beyond(limits: tuple[int, int, int]) -> None:
    max_num_seqs, max_columns, block_size = limits
    keys = GraphKeys(max_num_seqs, max_columns, block_size)
    listed = list(keys)
    assert len(listed) == len(set(listed)) == len(keys)
    assert listed[0] == GraphKey(max_num_seqs, max_columns), "the largest comes first"
    assert max(k.num_sequences for k in listed) == max_num_seqs
    assert max(k.num_columns for k in listed) == max_columns
    assert keys.of(max_num_seqs + 1, 1) is None
    assert keys.of(1, max_columns + 1) is None


@given(st.integers(1, 256))
def test_sizes_increase_in_small_steps(max_num_seqs: int) -> None:
    sizes = sorted({key.num_sequences for key in GraphKeys(max_num_seqs, 8, 16)})
    assert sizes[0] == 1
    assert sizes[-1] == max_num_seqs
    for size, following in itertools.pairwise(sizes):
        assert following <= 2 * size
        assert following - size <= max(8, size // 2)


def test_the_shortest_length_is_one_beyond_the_columns_below() -> None:
    keys = GraphKeys(4, 40, 16)
    assert [keys.shortest(GraphKey(4, columns)) for columns in (8, 16, 32, 40)] == [1, 129, 257, 513]
