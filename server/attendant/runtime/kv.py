"""KV cache memory for slots: one anonymous mapping a tensor, of which the operating system backs only touched pages.

A slot may therefore be as long as the context length at no cost until it is used.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import KVLayer
from attendant.bundle.graph_io import POSITIONS, SLOT_CACHE
from attendant.core.plan import Copy, Move, StepPlan, Trim
from attendant.runtime.slot_bindings import bind_in_place, bind_inputs

_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


class SlotBuffers:
    """Keys and values of ``num_slots`` slots of ``max_length`` positions: a
    :class:`~attendant.runtime.memory.SlotMemory`.

    A run writes a row behind what counts of it, so rows that run for nothing need no protection.

    ``keys[i]`` and ``values[i]``: [num_slots, num_kv_heads, max_length, head_size] of layer i's dtype.
    """

    def __init__(self, layers: Sequence[KVLayer], num_slots: int, max_length: int) -> None:
        self.num_slots = num_slots
        self.max_length = max_length
        self.keys = [allocate_slots(layer, num_slots, max_length) for layer in layers]
        self.values = [allocate_slots(layer, num_slots, max_length) for layer in layers]
        self._positions = np.arange(max_length, dtype=np.int64)

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def apply(self, moves: Sequence[Move]) -> None:
        """Carry out copies and trims, in order."""
        for move in moves:
            match move:
                case Copy(origin, target, length, start):
                    for tensor in (*self.keys, *self.values):
                        tensor[target, :, start:length] = tensor[origin, :, start:length]
                case Trim(slot, start):
                    for tensor in (*self.keys, *self.values):
                        _discard(tensor[slot], start)

    def begin(self, plan: StepPlan) -> None:
        pass

    def bind(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice) -> None:
        past, present = SLOT_CACHE.past, SLOT_CACHE.present
        bind_in_place(binding, takes, (past.key, present.key), self.keys, slots)
        bind_in_place(binding, takes, (past.value, present.value), self.values, slots)

    def bind_run(self, binding: ort.IOBinding, takes: frozenset[str], slots: slice, total: int) -> None:
        name = POSITIONS.kv_positions.name
        if name in takes:
            bind_inputs(binding, takes, {name: self._positions[:total]})

    def protect(self, slots: Sequence[int]) -> None:
        pass

    def restore(self) -> None:
        pass


def allocate_slots(layer: KVLayer, num_slots: int, max_length: int) -> npt.NDArray[np.generic]:
    """Zeros [num_slots, num_kv_heads, max_length, head_size], of which memory is used only where it is touched."""
    shape = (num_slots, layer.num_kv_heads, max_length, layer.head_size)
    dtype = np.dtype(layer.dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):  # a huge page would back 2 MB for the first position of a slot
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def _discard(slot: npt.NDArray[np.generic], start: int) -> None:
    """Give whole pages from position ``start`` on of every head of ``slot`` [heads, max_length, head_size] back."""
    page = mmap.PAGESIZE
    for head in slot:
        first = head.ctypes.data + start * head.strides[0]
        begin = -(-first // page) * page
        end = (head.ctypes.data + head.nbytes) // page * page
        if end > begin:
            _madvise(begin, end - begin)


_libc = ctypes.CDLL(None, use_errno=True)


def _madvise(address: int, length: int) -> None:
    if _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), mmap.MADV_DONTNEED) != 0:
        raise OSError(ctypes.get_errno(), "madvise(MADV_DONTNEED) on the KV cache failed")
