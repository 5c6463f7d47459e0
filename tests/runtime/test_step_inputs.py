"""The inputs of a paged run against a construction of one token after another."""

from __future__ import annotations

import numpy as np
from attendant.core.plan import Chunk, SampleOrder, StepPlan
from attendant.core.sampling import SamplingParams
from attendant.runtime.packed import Packed
from attendant.runtime.step_inputs import Part, StepLengths, StepShape, fill, input_fields, parts_of
from hypothesis import given
from hypothesis import strategies as st

ROWS, MAX_BLOCKS = 9, 6
ROW = st.tuples(st.integers(0, 7), st.integers(1, 9), st.booleans())  # start, tokens, sampled
DECODE = st.tuples(st.integers(0, 7), st.just(1), st.just(True))
STALE = 77  # what a buffer holds from the run before


def make(rows: list[tuple[int, int, bool]], seed: int) -> tuple[list[Chunk], np.ndarray]:
    rng = np.random.default_rng(seed)
    slots = rng.permutation(ROWS)[: len(rows)]
    table = rng.permutation(np.arange(1, 1 + ROWS * MAX_BLOCKS)).reshape(ROWS, MAX_BLOCKS).astype(np.int32)
    chunks = []
    for index, (start, count, sampled) in enumerate(rows):
        tokens = rng.integers(1, 500, count)
        order = SampleOrder(SamplingParams(max_tokens=1), tokens, count) if sampled else None
        chunks.append(Chunk(f"r{index}", int(slots[index]), start, tokens, order))
    return chunks, table


def slow(chunks: list[Chunk], table: np.ndarray, size: int, shape: StepShape) -> dict[str, list]:
    """What the arrays should hold, token by token."""
    ids, positions, slots, bounds, past, blocks, index = [], [], [], [0], [], [], []
    for chunk in chunks:
        for offset, token in enumerate(chunk.tokens.tolist()):
            at = chunk.start + offset
            ids.append(token)
            positions.append(at)
            slots.append(int(table[chunk.slot, at // size]) * size + at % size)
        bounds.append(len(ids))
        past.append(chunk.start)
        blocks.append(table[chunk.slot, : shape.num_columns].tolist())
        if chunk.sample is not None:
            index.append(len(ids) - 1)
    for _ in range(shape.num_sequences - len(chunks)):
        ids.append(0)
        positions.append(0)
        slots.append(-1)
        bounds.append(len(ids))
        past.append(0)
        blocks.append([0] * shape.num_columns)
    return {
        "input_ids": [ids],
        "position_ids": [positions],
        "slot_mapping": slots,
        "cumulative_sequence_length": bounds,
        "past_seqlens": past,
        "block_table": blocks,
        "logits_index": index,
    }


def check(chunks: list[Chunk], table: np.ndarray, size: int, shape: StepShape, *, decode_only: bool) -> None:
    packed = Packed(input_fields(shape))
    arrays = packed.views(np.full(packed.size, STALE, np.uint8))
    lengths = StepLengths.of(chunks, decode_only=decode_only)
    assert lengths.longest == max(chunk.start + len(chunk.tokens) for chunk in chunks)
    fill(arrays, chunks, lengths, table, size)
    wanted = slow(chunks, table, size, shape)
    num_sampled = len(wanted["logits_index"])
    for name, values in wanted.items():
        found = arrays[name][:num_sampled] if name == "logits_index" else arrays[name]
        assert found.tolist() == values, name
    assert ((arrays["logits_index"] >= 0) & (arrays["logits_index"] < shape.num_tokens)).all(), "all can be gathered"


@given(st.lists(ROW, min_size=1, max_size=ROWS), st.sampled_from([3, 4, 16]), st.integers(0, 99))
def test_mixed_runs(rows: list[tuple[int, int, bool]], size: int, seed: int) -> None:
    chunks, table = make(rows, seed)
    columns = -(-max(start + count for start, count, _ in rows) // size)
    num_logits = max(sum(sampled for *_, sampled in rows), 1)
    shape = StepShape(len(rows), sum(count for _, count, _ in rows), num_logits, columns)
    check(chunks, table, size, shape, decode_only=False)


@given(st.lists(DECODE, min_size=1, max_size=ROWS), st.integers(0, 5), st.sampled_from([3, 4, 16]), st.integers(0, 99))
def test_decode_runs_with_rows_left_over(rows: list[tuple[int, int, bool]], spare: int, size: int, seed: int) -> None:
    chunks, table = make(rows, seed)
    total = len(rows) + spare
    check(chunks, table, size, StepShape(total, total, total, MAX_BLOCKS), decode_only=True)


def test_prompts_run_apart_where_their_area_is_limited() -> None:
    def chunk(name: str, start: int, length: int) -> Chunk:
        return Chunk(name, 0, start, np.zeros(length, np.int64), None)

    decodes = (chunk("d0", 90, 1), chunk("d1", 500, 1))
    prompts = (chunk("a", 0, 10), chunk("b", 5, 15), chunk("c", 0, 40), chunk("long", 60, 60), chunk("e", 0, 1))
    plan = StepPlan(decodes=decodes, prefills=prompts)

    def names(parts: list[Part]) -> list[tuple[list[str], bool]]:
        return [([c.request_id for c in part.chunks], part.decode_only) for part in parts]

    everything = ["d0", "d1", "a", "b", "c", "long", "e"]
    assert names(parts_of(plan, None)) == [(everything, False)]
    assert names(parts_of(StepPlan(decodes=decodes), 100)) == [(["d0", "d1"], True)]
    split = [(["d0", "d1"], True), (["a", "b"], False), (["c"], False), (["long"], False), (["e"], False)]
    assert names(parts_of(plan, 100)) == split, "2 x 20 and then 3 x 40; what is too long runs alone"
    assert names(parts_of(StepPlan(prefills=prompts), 240)) == [(["a", "b", "c"], False), (["long", "e"], False)]
