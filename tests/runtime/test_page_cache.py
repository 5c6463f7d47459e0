"""Moves of pages against a plain model that carries them out one by one, in every element type of a cache."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from attendant.bundle import KVLayer
from attendant.core.plan import CopyBlock, Move, SetBlocks
from attendant.runtime.devices import Buffer, HostDevice
from attendant.runtime.page_cache import PageCache, block_bytes
from attendant.runtime.session import SessionOptions, open_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NUM_BLOCKS, BLOCK_SIZE, ROWS, COLUMNS = 9, 4, 3, 5
BLOCK = st.integers(1, NUM_BLOCKS - 1)
COPY = st.builds(CopyBlock, BLOCK, BLOCK).filter(lambda copy: copy.origin != copy.target)
SET = st.builds(
    lambda slot, first, blocks: SetBlocks(slot, first, tuple(blocks[: COLUMNS - first])),
    st.integers(0, ROWS - 1),
    st.integers(0, COLUMNS - 1),
    st.lists(BLOCK, max_size=COLUMNS),
)


class Watched(HostDevice):
    """Remembers what it gave out."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []

    def allocate(self, size: int) -> Buffer:
        self.buffers.append(super().allocate(size))
        return self.buffers[-1]

    def blocks(self) -> list[np.ndarray]:
        """Each cache as [num_blocks, bytes], the very memory."""
        views = []
        for buffer in self.buffers:
            memory = (ctypes.c_uint8 * buffer.size).from_address(buffer.address)
            views.append(np.ctypeslib.as_array(memory).reshape(NUM_BLOCKS, -1))
        return views


def make_cache(folder: Path, *layers: KVLayer) -> tuple[PageCache, Watched]:
    companions = pytest.importorskip("attendant_export.graph.companions", reason="the exporter is not installed")
    import onnx_ir as ir

    path = folder / "copy_blocks.onnx"
    ir.save(companions.copy_blocks_model(2 * len(layers)), path)
    device = Watched()
    cache = PageCache(
        layers,
        device,
        open_session(path, SessionOptions()),
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        num_sequences=ROWS,
        max_blocks=COLUMNS,
    )
    return cache, device


LAYERS = [
    (KVLayer(num_kv_heads=2, head_size=4, dtype="float32"), KVLayer(num_kv_heads=1, head_size=6, dtype="float32")),
    (KVLayer(num_kv_heads=2, head_size=4, dtype="float16"),),
    (KVLayer(num_kv_heads=1, head_size=6, dtype="int8"), KVLayer(num_kv_heads=3, head_size=2, dtype="float8e4m3fn")),
]


@pytest.mark.parametrize("layers", LAYERS, ids=lambda layers: "+".join(layer.dtype for layer in layers))
def test_moves_act_one_after_another(layers: tuple[KVLayer, ...], tmp_path: Path) -> None:
    cache, device = make_cache(tmp_path, *layers)
    table = np.zeros((ROWS, COLUMNS), int)
    contents = np.arange(NUM_BLOCKS)  # which block's first bytes each block has
    rng = np.random.default_rng(0)
    first = [rng.integers(0, 256, blocks.shape, np.uint8) for blocks in device.blocks()]

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.one_of(COPY, COPY, SET), max_size=12))
    def run(moves: list[Move]) -> None:
        contents[:] = np.arange(NUM_BLOCKS)
        for blocks, start in zip(device.blocks(), first, strict=True):
            blocks[:] = start
        cache.apply(moves)
        for move in moves:
            if isinstance(move, CopyBlock):
                contents[move.target] = contents[move.origin]
            else:
                assert isinstance(move, SetBlocks)
                table[move.slot, move.first :] = 0
                table[move.slot, move.first : move.first + len(move.blocks)] = move.blocks
        assert cache.table.tolist() == table.tolist()
        for blocks, start in zip(device.blocks(), first, strict=True):
            np.testing.assert_array_equal(blocks, start[contents])

    run()


@pytest.mark.parametrize(
    ("moves", "wanted"),
    [
        ([(1, 2), (2, 3), (3, 4)], {2: 1, 3: 1, 4: 1}),  # a chain: each waits for the one before
        ([(1, 2), (3, 1)], {2: 1, 1: 3}),  # the source is overwritten only afterwards
        ([(1, 2), (3, 2)], {2: 3}),  # the later one wins
        ([(1, 2), (2, 1), (5, 2)], {1: 1, 2: 5}),
    ],
)
def test_chains_of_copies(moves: list[tuple[int, int]], wanted: dict[int, int], tmp_path: Path) -> None:
    cache, device = make_cache(tmp_path, LAYERS[0][0])
    for blocks in device.blocks():
        blocks[:] = np.arange(NUM_BLOCKS)[:, None]
    cache.apply([CopyBlock(*move) for move in moves])
    for blocks in device.blocks():
        found = [np.unique(block).tolist() for block in blocks]
        assert found == [[wanted.get(index, index)] for index in range(NUM_BLOCKS)]


def test_the_size_of_a_block_counts_keys_and_values_of_all_layers() -> None:
    assert block_bytes(LAYERS[0], 16) == 2 * 16 * (2 * 4 + 6) * 4
    assert block_bytes(LAYERS[2], 16) == 2 * 16 * (6 + 6)
