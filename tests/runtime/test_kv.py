"""Slot memory: backed when touched, moved in order, given back when trimmed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from attendant.bundle import KVLayer
from attendant.core.plan import Copy, Trim
from attendant.runtime.kv import SlotBuffers

LAYER = KVLayer(num_kv_heads=2, head_size=64, dtype="float32")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_slot_costs_what_is_touched_and_trim_gives_it_back() -> None:
    before = resident_bytes()
    buffers = SlotBuffers([LAYER] * 4, num_slots=64, max_length=65536)  # 17 GB of addresses
    assert resident_bytes() - before < 20e6
    assert buffers.num_bytes == 4 * 2 * 64 * 2 * 65536 * 64 * 4, "at most"
    for tensor in (*buffers.keys, *buffers.values):
        tensor[3, :, :8192] = 1
    full = 4 * 2 * 2 * 8192 * 64 * 4
    assert 0.95 * full < resident_bytes() - before < 1.3 * full
    buffers.apply([Trim(3, 1024)])
    assert resident_bytes() - before < 0.3 * full
    assert all((tensor[3, :, :1024] == 1).all() for tensor in buffers.keys), "what is before the cut stays"


def test_moves_are_carried_out_in_order() -> None:
    buffers = SlotBuffers([LAYER] * 2, num_slots=3, max_length=64)
    for i, tensor in enumerate((*buffers.keys, *buffers.values)):
        tensor[0] = 10 + i
        tensor[1] = 20 + i
    buffers.apply([Copy(0, 2, 32), Copy(1, 0, 16)])
    for i, tensor in enumerate((*buffers.keys, *buffers.values)):
        assert np.unique(tensor[2, :, :32]).tolist() == [10 + i]
        assert np.unique(tensor[2, :, 32:]).tolist() == [0]
        assert np.unique(tensor[0, :, :16]).tolist() == [20 + i]
        assert np.unique(tensor[0, :, 16:]).tolist() == [10 + i]
