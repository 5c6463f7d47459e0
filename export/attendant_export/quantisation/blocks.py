"""Products of weights in 4 or 8 bits, in blocks of input channels with a scale each: ONNX Runtime's MatMulNBits.

It quantises each row of the activations in such blocks, too, so that a row does not depend on its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph.nodes import MICROSOFT, Editor, array_of
from attendant_export.quantisation.scales import write_scales

_HALF_LOW, _HALF_HIGH = np.float32(2.0**-14), np.float32(65504)
_ELEMENTS = 1 << 20  # of a weight at a time


@dataclass(frozen=True)
class BlockFormat:
    """``block``: input channels of a scale. ``zeros``: each block has a zero point of its own, too; without, blocks lie
    symmetrically around zero."""

    bits: Literal[4, 8]
    block: int
    zeros: bool = False

    @property
    def bits_a_weight(self) -> float:
        """The bits that a weight takes in a file, with a scale of half precision."""
        return self.bits + (16 + self.bits * self.zeros) / self.block


@dataclass(frozen=True)
class Blocks:
    """A weight [K, N]: ``values`` [N, blocks, block * bits / 8] uint8, of 4 bits two a byte, the first one low;
    ``scales`` [N, blocks] float32; ``zeros`` [N, blocks * bits / 8, rounded up] uint8, packed alike, or None for the
    middle of the range, 8 or 128."""

    values: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    zeros: npt.NDArray[np.uint8] | None


def quantise_blocks(weight: npt.NDArray[np.float32], form: BlockFormat) -> Blocks:
    """[K, N] float32 -> blocks; the last one of a column is filled up with zeros.

    Without zero points, the value of largest magnitude in a block becomes the end of the range that reaches further
    from the middle; with them, the ends are the block's smallest and largest values, or 0.
    """
    inputs, outputs = weight.shape
    step = max(1, _ELEMENTS // inputs)
    parts = [slice(start, start + step) for start in range(0, outputs, step)]
    scales = stored(np.concatenate([_scales(_cut(weight[:, part], form), form) for part in parts]))  # [N, blocks, 1]
    rounded = [_rounded(_cut(weight[:, part], form), scales[part], form) for part in parts]
    values, zeros = (np.concatenate(each) for each in zip(*rounded, strict=True))
    return pack(values, scales[..., 0], zeros[..., 0] if form.zeros else None, form)


def _cut(weight: npt.NDArray[np.float32], form: BlockFormat) -> npt.NDArray[np.float32]:
    """[K, N] -> [N, blocks, block]."""
    inputs, outputs = weight.shape
    num_blocks = -(-inputs // form.block)
    padded = np.zeros((outputs, num_blocks * form.block), np.float32)
    padded[:, :inputs] = weight.T
    return padded.reshape(outputs, num_blocks, form.block)


def _scales(blocks: npt.NDArray[np.float32], form: BlockFormat) -> npt.NDArray[np.float32]:
    """[N, blocks, block] -> [N, blocks, 1]."""
    if form.zeros:
        low, high = blocks.min(axis=-1, keepdims=True).clip(max=0), blocks.max(axis=-1, keepdims=True).clip(min=0)
        span: npt.NDArray[np.float32] = ((high - low) / np.float32(2**form.bits - 1)).astype(np.float32)
        return span
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., None], axis=-1)  # signed
    scale: npt.NDArray[np.float32] = (peak / np.float32(-(2 ** (form.bits - 1)))).astype(np.float32)
    return scale


def _rounded(
    blocks: npt.NDArray[np.float32], scale: npt.NDArray[np.float32], form: BlockFormat
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Whole numbers [N, blocks, block] and zero points [N, blocks, 1]."""
    top = 2**form.bits - 1
    if form.zeros:
        zero = np.rint(-blocks.min(axis=-1, keepdims=True).clip(max=0) * _inverse(scale)).clip(0, top)
    else:
        zero = np.full(scale.shape, np.float32(2 ** (form.bits - 1)))
    return np.clip(np.rint(blocks * _inverse(scale)) + zero, 0, top).astype(np.uint8), zero


def pack(
    values: npt.NDArray[np.uint8],
    scales: npt.NDArray[np.float32],
    zeros: npt.NDArray[np.float32] | npt.NDArray[np.uint8] | None,
    form: BlockFormat,
) -> Blocks:
    """Whole numbers [N, blocks, block], with scales and zero points [N, blocks], as ONNX Runtime has them."""
    packed = None if zeros is None else zeros.astype(np.uint8)
    if form.bits == 4:
        values, odd = _pairs(values), scales.shape[1] % 2
        packed = None if packed is None else _pairs(np.pad(packed, ((0, 0), (0, odd)), constant_values=8))
    return Blocks(values, scales, packed)


def stored(scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``scales`` as they come back from the file: rounded to half precision where that holds them all."""
    if not fits_half(scales):
        return scales
    return scales.astype(np.float16).astype(np.float32)


def fits_half(scales: npt.NDArray[np.float32]) -> bool:
    """Whether half precision keeps eleven bits of every scale."""
    sizes = np.abs(scales[scales != 0])
    return bool(sizes.size == 0 or (sizes.min() >= _HALF_LOW and sizes.max() <= _HALF_HIGH))


class BlockWriter:
    """Turns products into MatMulNBits, on a CPU with products of integers."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def write(self, node: ir.Node, form: BlockFormat, blocks: Blocks | None = None) -> tuple[ir.Value, ir.Value]:
        """x @ w  ->  MatMulNBits(x, blocks of w); ``blocks``, if they are not simply the nearest values.

        Scales of float32 weights take as little as holds them; see :func:`write_scales`.

        Returns:
            The values [N, blocks, block * bits / 8] uint8 and the scales [N, blocks] of the type of the weight.
        """
        x, weight = node.inputs
        assert weight is not None
        array = array_of(weight)
        if blocks is None:
            blocks = quantise_blocks(array.astype(np.float32, copy=False), form)
        values = self._editor.constant(blocks.values, f"{weight.name}_int{form.bits}")
        scales = self._scales(blocks.scales, array.dtype, f"{weight.name}_scale")
        inputs = [x, values, scales]
        if blocks.zeros is not None:
            inputs.append(self._editor.constant(blocks.zeros, f"{weight.name}_zero"))
        self._editor.replace(
            node,
            "MatMulNBits",
            inputs,
            domain=MICROSOFT,
            K=array.shape[0],
            N=array.shape[1],
            bits=form.bits,
            block_size=form.block,
            accuracy_level=4 if array.dtype == np.float32 else 0,  # int8 products; CUDA has no such choice
        )
        return values, scales

    def _scales(self, scales: npt.NDArray[np.float32], dtype: np.dtype[Any], name: str) -> ir.Value:
        if dtype != np.float32:
            return self._editor.constant(scales.astype(dtype), name)
        return write_scales(self._editor, scales, name)


def _inverse(scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 / scale, and 0 for 0."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _pairs(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two values of 4 bits a byte, along the last axis, the first one low."""
    packed: npt.NDArray[np.uint8] = np.bitwise_or(values[..., ::2], values[..., 1::2] << 4).astype(np.uint8)
    return packed
