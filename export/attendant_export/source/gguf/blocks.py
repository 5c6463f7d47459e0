"""Tensors whose blocks a graph can have as they are: whole numbers with a scale, and a minimum or not.

Blocks of 32 have a scale of half precision. K-quants have blocks of 32 or 16 whose scales and minimums are small whole
numbers, times one of half precision for 256 channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from attendant.bundle import Precision

from attendant_export.quantisation.stored import StoredBlocks
from attendant_export.source.gguf.file import GgufFile, GgufTensor

_BLOCK, _SMALL_BLOCK, _HALF = 32, 16, 2
Bytes = npt.NDArray[np.uint8]


def _q4_0(blocks: Bytes) -> StoredBlocks:
    """(value - 8) * scale; the first 16 values are in the low halves of the bytes."""
    return StoredBlocks(4, _BLOCK, _nibbles(blocks[..., _HALF:]), _halves(blocks[..., :_HALF]))


def _q4_1(blocks: Bytes) -> StoredBlocks:
    """value * scale + minimum."""
    scales, minimum = _halves(blocks[..., :_HALF]), _halves(blocks[..., _HALF : 2 * _HALF])
    return StoredBlocks(4, _BLOCK, _nibbles(blocks[..., 2 * _HALF :]), scales, minimum)


def _q8_0(blocks: Bytes) -> StoredBlocks:
    """value * scale, of signed values."""
    return StoredBlocks(8, _BLOCK, blocks[..., _HALF:] ^ np.uint8(128), _halves(blocks[..., :_HALF]))


def _q5_0(blocks: Bytes) -> StoredBlocks:
    """(value - 16) * scale; of each value, four bits as in Q4_0 and the highest in a word of 32."""
    values = _nibbles(blocks[..., 6:]) | _fifth(_bits(blocks[..., 2:6]))
    return StoredBlocks(8, _BLOCK, values + np.uint8(128 - 16), _halves(blocks[..., :_HALF]))


def _q5_1(blocks: Bytes) -> StoredBlocks:
    """value * scale + minimum."""
    values = _nibbles(blocks[..., 8:]) | _fifth(_bits(blocks[..., 4:8]))
    return _of_five_bits(values, _halves(blocks[..., :_HALF]), _halves(blocks[..., _HALF:4]))


def _q4_k(blocks: Bytes) -> StoredBlocks:
    """value * scale - minimum, both of 6 bits; of two neighbours of 32, the first is in the low halves of 32 bytes."""
    scales, minimum = _six_bits(blocks)
    return StoredBlocks(4, _BLOCK, _pairs_of_blocks(blocks[..., 16:144]), scales, minimum)


def _q5_k(blocks: Bytes) -> StoredBlocks:
    """The same with the highest bits of the eight blocks in the bits of 32 bytes more."""
    scales, minimum = _six_bits(blocks)
    high = np.bitwise_and(blocks[..., None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None], np.uint8(1))
    values = _pairs_of_blocks(blocks[..., 48:176]) | _fifth(high.reshape(len(blocks), -1, _BLOCK))
    return _of_five_bits(values, scales, minimum)


def _q6_k(blocks: Bytes) -> StoredBlocks:
    """(value - 32) * scale, in blocks of 16 whose scales are of 8 bits; of 128 values, 64 bytes have the lower four
    bits, and 32 bytes the upper two, each of values 32 apart."""
    rows = len(blocks)
    low = blocks[..., :128].reshape(rows, -1, 2, 64)
    low = np.stack([low & np.uint8(15), low >> np.uint8(4)], axis=-2).reshape(rows, -1, 2, 4, 32)
    high = blocks[..., 128:192].reshape(rows, -1, 2, 1, 32) >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    values = (low | _fifth(high & np.uint8(3))).reshape(rows, -1, _SMALL_BLOCK) + np.uint8(128 - 32)
    counts = np.ascontiguousarray(blocks[..., 192:208]).view(np.int8).astype(np.float32)
    scales = (counts * _halves(blocks[..., 208:])[..., None]).reshape(rows, -1)
    return StoredBlocks(8, _SMALL_BLOCK, values, scales)


STORED: dict[str, tuple[int, Callable[[Bytes], StoredBlocks]]] = {
    "Q4_0": (18, _q4_0),
    "Q4_1": (20, _q4_1),
    "Q5_0": (22, _q5_0),
    "Q5_1": (24, _q5_1),
    "Q8_0": (34, _q8_0),
    "Q4_K": (144, _q4_k),
    "Q5_K": (176, _q5_k),
    "Q6_K": (210, _q6_k),
}
"""By type: the bytes of a block, and what makes blocks of [N, blocks, bytes]; for K-quants, of 256 channels."""


def stored_blocks(tensor: GgufTensor) -> StoredBlocks:
    """The blocks of a tensor [N, K] of one of the types of :data:`STORED`."""
    size, read = STORED[tensor.type]
    return read(np.array(tensor.data).reshape(tensor.shape[0], -1, size))


def precision_of(file: GgufFile) -> Precision | None:
    """What keeps the weights of a file as they are stored: of 4 or of 8 bits, as most of its layers' are; None where
    most are of a type that no graph has."""
    sizes: Counter[str] = Counter()
    for name, tensor in file.tensors.items():
        if name.startswith("blk.") and len(tensor.shape) == 2:
            sizes[tensor.type] += tensor.data.nbytes
    if not sizes:
        return None
    kind = sizes.most_common(1)[0][0]
    if kind not in STORED:
        return None
    return "int4" if kind.startswith("Q4") else "int8_blocks"


def _halves(numbers: Bytes) -> npt.NDArray[np.float32]:
    """[N, blocks, 2] -> [N, blocks] float32."""
    return np.ascontiguousarray(numbers).view(np.float16)[..., 0].astype(np.float32)


def _nibbles(numbers: Bytes) -> Bytes:
    return np.concatenate([numbers & 15, numbers >> 4], axis=-1)


def _of_five_bits(values: Bytes, scales: npt.NDArray[np.float32], minimum: npt.NDArray[np.float32]) -> StoredBlocks:
    """Blocks of 8 bits of whole numbers below 32, in the middle of 256."""
    middle = np.full(len(values), 16, np.uint8)
    return StoredBlocks(8, _BLOCK, values + np.uint8(128 - 16), scales, minimum, middle=middle)


def _bits(words: Bytes) -> Bytes:
    """The bits of four bytes, the lowest first, [..., 32]."""
    return np.unpackbits(words, axis=-1, bitorder="little")


def _fifth(bits: Bytes) -> Bytes:
    """Moved above four other bits."""
    return bits << np.uint8(4)


def _pairs_of_blocks(numbers: Bytes) -> Bytes:
    """[N, groups, 128] bytes -> [N, blocks, 32] of four bits."""
    pairs = numbers.reshape(len(numbers), -1, 1, _BLOCK) >> np.array([[0], [4]], np.uint8)
    return (pairs & np.uint8(15)).reshape(len(numbers), -1, _BLOCK)


def _six_bits(blocks: Bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Scales and minimums of K-quants' blocks, [N, blocks]: 12 bytes have eight pairs of six bits. Those of the first
    four blocks lie in eight bytes; those of the last four have their lower bits in four bytes, and the upper ones above
    the first."""
    packed = blocks[..., 4:16].reshape(*blocks.shape[:2], 3, 4)
    first, second, last = packed[..., 0, :], packed[..., 1, :], packed[..., 2, :]
    scales = np.concatenate([first & 63, last & 15 | first >> 6 << 4], axis=-1)
    minimum = np.concatenate([second & 63, last >> 4 | second >> 6 << 4], axis=-1)
    factors = _halves(blocks[..., :_HALF])[..., None], _halves(blocks[..., _HALF:4])[..., None]
    rows = len(blocks)
    return (scales * factors[0]).reshape(rows, -1), -(minimum * factors[1]).reshape(rows, -1)
