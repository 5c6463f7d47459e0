"""Tensors whose blocks of 32 a graph can have as they are: a scale of half precision, and whole numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from attendant.bundle import Precision

from attendant_export.quantisation.stored import StoredBlocks
from attendant_export.source.gguf.file import GgufFile, GgufTensor

_BLOCK, _HALF = 32, 2
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


STORED: dict[str, tuple[int, Callable[[Bytes], StoredBlocks]]] = {
    "Q4_0": (18, _q4_0),
    "Q4_1": (20, _q4_1),
    "Q8_0": (34, _q8_0),
}
"""By type: the bytes of a block, and what makes blocks of [N, blocks, bytes]."""


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
    return {"Q4_0": "int4", "Q4_1": "int4", "Q8_0": "int8_blocks"}.get(kind)  # type: ignore[return-value]


def _halves(numbers: Bytes) -> npt.NDArray[np.float32]:
    """[N, blocks, 2] -> [N, blocks] float32."""
    return np.ascontiguousarray(numbers).view(np.float16)[..., 0].astype(np.float32)


def _nibbles(numbers: Bytes) -> Bytes:
    return np.concatenate([numbers & 15, numbers >> 4], axis=-1)
