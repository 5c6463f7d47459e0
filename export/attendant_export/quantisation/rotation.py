"""Spreads large channels of activations over their neighbours: a small orthogonal product before the quantised one.

x @ w  =  (x @ R) @ (R' @ w), with R a block-diagonal matrix of Hadamard matrices, each row of which is +-1 / sqrt(n)
(Sylvester's construction; as QuaRot, Ashkboos et al. 2024, puts before the last product of an MLP). R' @ w is computed
at export. What one channel held is then spread over the n channels of its block, so that a row's peak falls, wherever
in the row the large channel was.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph.nodes import Editor

Floats = npt.NDArray[np.float32]

LARGEST_BLOCK = 32
"""Channels that are mixed. With 64 or 128 the errors are the same within a few percent, and the product dearer."""


def block_of(channels: int, largest: int = LARGEST_BLOCK) -> int:
    """The largest power of two up to ``largest`` that divides ``channels``."""
    block = 1
    while block < largest and channels % (2 * block) == 0:
        block *= 2
    return block


@lru_cache
def hadamard(block: int) -> Floats:
    """[block, block] float32, symmetric and orthogonal; ``block`` is a power of two."""
    matrix = np.ones((1, 1))
    while len(matrix) < block:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    scaled: Floats = (matrix / np.sqrt(block)).astype(np.float32)
    return scaled


def rotated_rows(rows: Floats, block: int) -> Floats:
    """rows [n, K] @ R."""
    turned: Floats = (rows.reshape(-1, block) @ hadamard(block)).reshape(rows.shape)
    return turned


def rotated_weight(weight: Floats, block: int) -> Floats:
    """R' @ weight [K, N]."""
    channels, outputs = weight.shape
    turned: Floats = (hadamard(block) @ weight.reshape(channels // block, block, outputs)).reshape(weight.shape)
    return turned


def rotated_gram(gram: Floats, block: int) -> Floats:
    """R' @ gram [K, K] @ R."""
    return rotated_rows(np.ascontiguousarray(rotated_rows(gram, block).T), block)


class Rotator:
    """Puts rotations into one graph; nodes before which the same value is rotated share the product."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._matrices: dict[int, ir.Value] = {}
        self._shapes: dict[tuple[int, ...], ir.Value] = {}

    def rotate(self, node: ir.Node, value: ir.Value, block: int) -> ir.Value:
        """Adds ``value`` [..., K] @ R before ``node``; returns the result."""
        assert value.shape is not None
        channels = int(value.shape[-1])
        if block not in self._matrices:
            self._matrices[block] = self._editor.constant(hadamard(block), f"rotation_{block}")
        leading = [0] * (len(value.shape) - 1)  # a zero copies a size
        cut = self._editor.before(node, "Reshape", [value, self._shape([*leading, channels // block, block])])
        turned = self._editor.before(node, "MatMul", [cut, self._matrices[block]])
        whole = self._editor.before(node, "Reshape", [turned, self._shape([*leading, channels])])
        whole.shape, whole.dtype = value.shape, value.dtype
        return whole

    def _shape(self, sizes: list[int]) -> ir.Value:
        key = tuple(sizes)
        if key not in self._shapes:
            self._shapes[key] = self._editor.constant(np.array(sizes, np.int64), "rotation_shape")
        return self._shapes[key]
