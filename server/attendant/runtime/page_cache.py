"""KV cache memory for pages: blocks of positions on a device, and the block table of every sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from attendant.bundle import DType, KVLayer
from attendant.bundle.graph_io import COPY_FROM, COPY_TO, COPYING, PAGE_CACHE
from attendant.core.plan import CopyBlock, Move, SetBlocks
from attendant.runtime.devices import Buffer, Device

# ONNX's numbers of element types, which ONNX Runtime takes where numpy has no type.
ELEMENT_TYPES: dict[DType, int] = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "bfloat16": 16,
    "float8e4m3fn": 17,
}
WORD = 8
"""Bytes of an int64: blocks are copied as such."""


class PageCache:
    """Keys and values of ``num_blocks`` blocks, per layer [num_blocks, block_size, num_kv_heads, head_size], and
    ``table`` [num_sequences, max_blocks] int32 on the host. Block 0 belongs to nobody.

    Raises:
        DeviceOutOfMemory: the blocks do not fit.
    """

    def __init__(
        self,
        layers: Sequence[KVLayer],
        device: Device,
        copier: ort.InferenceSession,
        *,
        num_blocks: int,
        block_size: int,
        num_sequences: int,
        max_blocks: int,
    ) -> None:
        self.block_size = block_size
        self.num_blocks = num_blocks
        self.table = np.zeros((num_sequences, max_blocks), np.int32)
        self._layers = tuple(layers)
        self._device = device
        self._copier = copier
        self._buffers: list[tuple[Buffer, Buffer]] = []
        for layer in layers:
            size = num_blocks * block_size * layer.num_kv_heads * layer.head_bytes
            self._buffers.append((device.allocate(size), device.allocate(size)))
        self._copying = self._bind_copier()

    @property
    def num_bytes(self) -> int:
        """Bytes of all blocks."""
        return sum(buffer.size for pair in self._buffers for buffer in pair)

    def bind(self, binding: ort.IOBinding, needed: set[str]) -> None:
        """Bind the caches by address: past and present are the same memory."""
        kind, index = self._device.kind, self._device.index
        buffers = [(layer, buffer) for layer, pair in zip(self._layers, self._buffers, strict=True) for buffer in pair]
        for (layer, buffer), (past, present) in zip(buffers, PAGE_CACHE.names(len(self._layers)), strict=True):
            shape = (self.num_blocks, self.block_size, layer.num_kv_heads, layer.head_size)
            place = (kind, index, ELEMENT_TYPES[layer.dtype], shape, buffer.address)
            if past in needed:
                binding.bind_input(past, *place)
            binding.bind_output(present, *place)

    def apply(self, moves: Sequence[Move]) -> None:
        """Carry out those of the moves that are the cache's, in order."""
        copies: list[CopyBlock] = []
        for move in moves:
            if isinstance(move, SetBlocks):
                row = self.table[move.slot]
                end = move.first + len(move.blocks)
                row[move.first : end] = move.blocks
                row[end:] = 0
            elif isinstance(move, CopyBlock):
                if any(move.origin == earlier.target for earlier in copies):  # which has to be there first
                    self._copy(copies)
                    copies = []
                copies.append(move)
        if copies:
            self._copy(copies)

    def _copy(self, moves: Sequence[CopyBlock]) -> None:
        """Copy blocks, all at once: none of the origins is the target of an earlier one."""
        latest = {move.target: move.origin for move in moves}
        origin = np.array(list(latest.values()), np.int64)
        target = np.array(list(latest), np.int64)
        self._copying.bind_cpu_input(COPYING.source.name, origin)
        self._copying.bind_cpu_input(COPYING.target.name, target)
        self._copier.run_with_iobinding(self._copying)

    def _bind_copier(self) -> ort.IOBinding:
        binding = self._copier.io_binding()
        kind, index = self._device.kind, self._device.index
        buffers = [buffer for pair in self._buffers for buffer in pair]
        for number, buffer in enumerate(buffers):
            shape = (self.num_blocks, buffer.size // self.num_blocks // WORD)
            place = (kind, index, np.int64, shape, buffer.address)
            binding.bind_input(COPY_FROM.at(number).name, *place)
            binding.bind_output(COPY_TO.at(number).name, *place)
        return binding


def block_bytes(layers: Sequence[KVLayer], block_size: int) -> int:
    """Bytes of one block over all layers, keys and values."""
    return sum(2 * block_size * layer.num_kv_heads * layer.head_bytes for layer in layers)


Table = npt.NDArray[np.int32]
