"""Weights in 8 or 4 bits, as passes over a graph.

int8 has a scale per output channel of a weight and, at run time, a scale per row of the activations: the largest
magnitude of that row. A row does not depend on its neighbours in the batch then, and batching stays exact.
int4 is ONNX Runtime's MatMulNBits with blocks of 32. Float32 token embeddings are int8 with a scale per row in both.

Left as they are: weights with a side below 32 (they save next to nothing), and the router of a mixture of experts,
whose small errors would send a token to another expert.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph import Editor, array_of, attribute, nodes_of

MICROSOFT = "com.microsoft"
BLOCK = 32  # of MatMulNBits, along the input channels
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_LEAST_SIDE = 32
_ROUTER_DEPTH = 8
_STEP = np.float32(1 / 127)
_TINY = np.float32(1e-30)  # keeps the scale of a column of zeros above zero


def quantise(model: ir.Model, precision: Literal["int8", "int4"]) -> int:
    """Quantises every constant weight that the rules above allow, in place; returns how many."""
    editor = Editor(model.graph)
    matmuls = [node for node in nodes_of(model.graph, "MatMul") if quantisable(node)]
    if precision == "int8":
        rows = _RowQuantiser(editor)
        for node in matmuls:
            rows.quantise(node)
    else:
        for node in matmuls:
            _to_matmul_nbits(editor, node)
    tables = [node for node in nodes_of(model.graph, "Gather") if _is_token_embedding(node)]
    for node in tables:
        _quantise_table(editor, node)
    editor.drop_unused()
    return len(matmuls) + len(tables)


def int8_columns(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """[K, N] float32 -> [K, N] int8 and scales [N] float32: the largest magnitude of a column becomes 127."""
    scale = np.maximum(np.abs(weight).max(axis=0) * _STEP, _TINY).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def int4_blocks(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """[K, N] float32 -> [N, blocks, 16] uint8 (two values a byte, the first one low) and scales [N, blocks] float32.

    Symmetric around 8, the zero point MatMulNBits assumes: the value of largest magnitude in a block becomes 0 (-8).
    """
    inputs, outputs = weight.shape
    blocks = -(-inputs // BLOCK)
    padded = np.zeros((outputs, blocks * BLOCK), np.float32)
    padded[:, :inputs] = weight.T
    padded = padded.reshape(outputs, blocks, BLOCK)
    peak = np.take_along_axis(padded, np.abs(padded).argmax(axis=-1)[..., None], axis=-1)  # [N, blocks, 1], signed
    scale = (peak / np.float32(-8)).astype(np.float32)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    values = np.clip(np.rint(padded * inverse) + 8, 0, 15).astype(np.uint8)
    return values[..., ::2] | (values[..., 1::2] << 4), scale[..., 0]


class _RowQuantiser:
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

    def quantise(self, node: ir.Node) -> None:
        """x @ w  ->  MatMulIntegerToFloat(quantised x, int8 w) * scale of the row."""
        x, weight = node.inputs
        assert x is not None
        assert weight is not None
        if x not in self._rows:
            assert weight.shape is not None
            self._rows[x] = self._quantise_rows(node, x, int(weight.shape[0]))
        if weight not in self._weights:
            values, scales = int8_columns(array_of(weight).astype(np.float32))
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


def _to_matmul_nbits(editor: Editor, node: ir.Node) -> None:
    x, weight = node.inputs
    assert weight is not None
    array = array_of(weight)
    values, scales = int4_blocks(array.astype(np.float32))
    name = str(weight.name)
    scales = scales.astype(array.dtype)
    inputs = [x, editor.constant(values, f"{name}_int4"), editor.constant(scales, f"{name}_scale")]
    editor.replace(
        node,
        "MatMulNBits",
        inputs,
        domain=MICROSOFT,
        K=array.shape[0],
        N=array.shape[1],
        bits=4,
        block_size=BLOCK,
        accuracy_level=4 if array.dtype == np.float32 else 0,  # int8 products; CUDA has no such choice
    )


def _quantise_table(editor: Editor, node: ir.Node) -> None:
    """Gather(table, ids)  ->  Cast(Gather(int8 table, ids)) * Gather(scales, ids)."""
    table, ids = node.inputs
    assert table is not None
    values, scales = int8_columns(np.ascontiguousarray(array_of(table).astype(np.float32).T))
    name = str(table.name)
    rows = editor.before(node, "Gather", [editor.constant(np.ascontiguousarray(values.T), f"{name}_int8"), ids], axis=0)
    rows = editor.before(node, "Cast", [rows], to=int(ir.DataType.FLOAT))
    scale = editor.before(node, "Gather", [editor.constant(scales[:, None], f"{name}_scale"), ids], axis=0)
    editor.replace(node, "Mul", [rows, scale])


def quantisable(node: ir.Node) -> bool:
    """Whether the weight of a MatMul is one that the rules above allow."""
    weight = node.inputs[1]
    if weight is None or not weight.is_initializer() or weight.shape is None or len(weight.shape) != 2:
        return False
    if weight.dtype not in _FLOATS:
        return False
    return min(int(size) for size in weight.shape) >= _LEAST_SIDE and not _feeds_top_k([node])


def _feeds_top_k(nodes: Iterable[ir.Node]) -> bool:
    """Whether a TopK follows before the next product: the mark of a router."""
    front = list(nodes)
    for _ in range(_ROUTER_DEPTH):
        front = [use.node for node in front for output in node.outputs for use in output.uses()]
        if any(node.op_type == "TopK" for node in front):
            return True
        front = [node for node in front if "MatMul" not in node.op_type and "Norm" not in node.op_type]
    return False


def _is_token_embedding(node: ir.Node) -> bool:
    table, ids = node.inputs
    if table is None or ids is None or not table.is_initializer() or table.dtype != ir.DataType.FLOAT:
        return False
    is_table = table.shape is not None and len(table.shape) == 2 and attribute(node, "axis", 0) == 0
    return is_table and ids.is_graph_input() and ids.name == "input_ids"
