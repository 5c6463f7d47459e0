"""Arrays side by side in one buffer: aligned, apart, and where the fields say."""

from __future__ import annotations

import numpy as np
from attendant.runtime.packed import ALIGNMENT, Packed
from hypothesis import given
from hypothesis import strategies as st

DTYPES = [np.int64, np.int32, np.float32, np.float16, np.uint8, np.bool_]
SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)
FIELDS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.tuples(SHAPES, st.sampled_from(DTYPES)))


@given(FIELDS)
def test_views_are_aligned_and_do_not_overlap(fields: dict) -> None:
    packed = Packed(fields)
    memory = np.zeros(packed.size, np.uint8)
    views = packed.views(memory)
    assert list(views) == list(packed.fields) == list(fields)
    for number, (name, (shape, dtype)) in enumerate(fields.items(), 1):
        field = packed.fields[name]
        assert field.offset % ALIGNMENT == 0
        assert field.offset + field.size <= packed.size
        assert (views[name].shape, views[name].dtype) == (shape, np.dtype(dtype))
        assert field.size == views[name].nbytes
        memory[field.offset : field.offset + field.size] += number
    for number, name in enumerate(fields, 1):
        assert (views[name].reshape(-1).view(np.uint8) == number).all(), "a view is its field, and nobody else's"


def test_a_larger_memory_does() -> None:
    packed = Packed({"a": ((2,), np.int32), "b": ((1,), np.int64)})
    memory = np.zeros(packed.size + 100, np.uint8)
    views = packed.views(memory)
    views["b"][0] = -1
    assert (memory[ALIGNMENT : ALIGNMENT + 8] == 255).all()
    assert np.count_nonzero(memory) == 8
