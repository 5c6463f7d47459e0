"""Products of int8 weights, with a scale per output channel, and activations with a scale per row.

A row does not depend on its neighbours in the batch then, and batching stays exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph.nodes import MICROSOFT, Editor, array_of

_STEP = np.float32(1 / 127)
_ELEMENTS = 1 << 20  # of a weight at a time
_TINY = np.float32(1e-30)  # keeps the scale of a column of zeros above zero


def int8_columns(weight: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """[K, N] floats -> [K, N] int8 and scales [N] float32: the largest magnitude of a column becomes 127."""
    inputs, outputs = weight.shape
    values, scales = np.empty((inputs, outputs), np.int8), np.empty(outputs, np.float32)
    step = max(1, _ELEMENTS // inputs)
    for start in range(0, outputs, step):
        part = slice(start, start + step)
        columns = weight[:, part].astype(np.float32, copy=False)
        scales[part] = np.maximum(np.abs(columns).max(axis=0) * _STEP, _TINY)
        values[:, part] = np.rint(columns / scales[part])
    return values, scales


class RowQuantiser:
    """Turns MatMuls into int8 ones; those that read one input share its quantisation.

    A row is one block of QuantizeLinear (opset 21), whatever the rank of the activations: measured at a third to a
    half of the time of dividing by the row's peak first, from 100 rows on, and the same for one row.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._step = editor.constant(np.array(_STEP), "int8_step")
        self._one = editor.constant(np.array(1, np.float32), "int8_one")
        self._zero = editor.constant(np.array(128, np.uint8), "int8_zero")
        self._axes: dict[int, ir.Value] = {}
        self._rows: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self._weights: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self._zeros: dict[tuple[int | str, ...], ir.Value] = {}

    def quantise(self, node: ir.Node) -> tuple[ir.Value, ir.Value]:
        """x @ w  ->  MatMulIntegerToFloat(quantised x, int8 w) * scale of the row.

        Returns:
            The values [K, N] int8 and scales [N] float32 of the weight.
        """
        x, weight = node.inputs
        assert x is not None
        assert weight is not None
        if x not in self._rows:
            assert weight.shape is not None
            self._rows[x] = self._quantise_rows(node, x, int(weight.shape[0]))
        if weight not in self._weights:
            values, scales = int8_columns(array_of(weight))
            name = str(weight.name)
            self._weights[weight] = (
                self._editor.constant(values, f"{name}_int8"),
                self._editor.constant(scales, f"{name}_scale"),
            )
        quantised, scale = self._rows[x]
        values_value, scales_value = self._weights[weight]
        inputs = [quantised, values_value, self._one, scales_value, self._zero]
        product = self._editor.before(node, "MatMulIntegerToFloat", inputs, domain=MICROSOFT)
        self._editor.replace(node, "Mul", [product, scale])
        return values_value, scales_value

    def _quantise_rows(self, node: ir.Node, x: ir.Value, channels: int) -> tuple[ir.Value, ir.Value]:
        """The rows of x as uint8 around 128, and their scales [..., 1] float32.

        A row of zeros divides by zero, and whatever it is quantised to, its products are multiplied by a scale of zero.
        """
        add, axis = self._editor.before, self._last_axis(x)
        highest = add(node, "ReduceMax", [x, axis], keepdims=1)
        lowest = add(node, "ReduceMin", [x, axis], keepdims=1)
        peak = add(node, "Max", [highest, add(node, "Neg", [lowest])])
        scale = add(node, "Mul", [peak, self._step])
        inputs = [x, scale, self._zero_of(node, x, scale)]
        return add(node, "QuantizeLinear", inputs, axis=-1, block_size=channels), scale

    def _zero_of(self, node: ir.Node, x: ir.Value, scale: ir.Value) -> ir.Value:
        """The zero point of every row, in the shape of ``scale``; one for all activations of the same rows."""
        sizes = [size if isinstance(size, int) else size.value for size in (x.shape or [None])[:-1]]
        known = tuple(size for size in sizes if size is not None)
        key = known if x.shape is not None and len(known) == len(sizes) else (str(scale.name),)
        if key not in self._zeros:
            shape = self._editor.before(node, "Shape", [scale])
            self._zeros[key] = self._editor.before(node, "Expand", [self._zero, shape])
        return self._zeros[key]

    def _last_axis(self, x: ir.Value) -> ir.Value:
        """The last axis as a positive number: with -1, ONNX Runtime leaves the shape of an empty tensor as it is."""
        axis = len(x.shape) - 1 if x.shape is not None else -1
        if axis not in self._axes:
            self._axes[axis] = self._editor.constant(np.array([axis], np.int64), "int8_axis")
        return self._axes[axis]
