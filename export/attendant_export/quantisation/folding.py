"""Multiplies the channels of a value by constants, without a node: in the weights of what makes the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph.nodes import Editor, attribute

Floats = npt.NDArray[np.float32]

_LINEAR = ("Reshape", "Transpose", "RotaryEmbedding")
NORMS = ("SimplifiedLayerNormalization", "LayerNormalization", "RMSNormalization")


@dataclass(frozen=True)
class Edit:
    """The constant that ``node`` has as input ``index`` is multiplied, all of it or some columns of its last axis."""

    node: ir.Node
    index: int
    factor: Floats
    columns: tuple[int, int] | None

    def of(self, array: Floats) -> Floats:
        """The product."""
        if self.columns is None:
            return array * self.factor
        begin, end = self.columns
        array = array.copy()
        array[..., begin:end] *= self.factor
        return array


def apply_edits(editor: Editor, edits: Sequence[Edit], mark: str) -> None:
    """Carries out what :func:`scaled` found; the new constants' names end with ``mark``."""
    for edit in edits:
        old = edit.node.inputs[edit.index]
        assert old is not None
        edit.node.replace_input_with(edit.index, editor.computed(old, edit.of, f"{old.name}_{mark}"))
        editor.drop_constant(old)


def scaled(
    value: ir.Value | None, factor: float | Floats, columns: tuple[int, int] | None = None, *, readers: int = 1
) -> list[Edit] | None:
    """What to change so that ``value``, or only these columns of it, is multiplied.

    Args:
        factor: one number, or [K] float32, one for each channel of the last axis (or of ``columns``).
        readers: how many nodes read ``value``, all of which are meant to see it multiplied.

    Returns:
        None where constants alone cannot do it.
    """
    node = value.producer() if value is not None else None
    if value is None or node is None or len(value.uses()) != readers or value.is_graph_output():
        return None
    by_channel = not np.isscalar(factor)
    if (node.op_type in _LINEAR and columns is None and not by_channel) or (
        node.op_type == "Reshape" and _keeps_columns(node)
    ):
        return scaled(node.inputs[0], factor, columns)
    if node.op_type == "Split":
        before = _columns_before(node, value)
        return None if before is None or columns is not None else _scaled_part(node, before, factor)
    if node.op_type == "MatMul":
        return _edit(node, 1, factor, columns)
    if node.op_type == "Add":
        bias = _edit(node, 1, factor, columns)
        product = scaled(node.inputs[0], factor, columns)
        return None if bias is None or product is None else bias + product
    if node.op_type == "Mul" and columns is None:  # one side is enough, such as the plain one of a gated pair
        sides = ((_edit(node, index, factor, None) or scaled(node.inputs[index], factor)) for index in (1, 0))
        return next((edits for edits in sides if edits is not None), None)
    if node.op_type in NORMS and columns is None:
        weights = [_edit(node, index, factor, None) for index in range(1, len(node.inputs))]
        known = [edit for edits in weights for edit in edits or ()]
        return known if len(known) == len(weights) else None
    return None


def _scaled_part(split: ir.Node, columns: tuple[int, int], factor: float | Floats) -> list[Edit] | None:
    """The same for a part of what is split. The other parts are read elsewhere, but made in columns of their own."""
    whole = split.inputs[0]
    return None if whole is None or len(whole.uses()) != 1 else scaled(whole, factor, columns)


def _keeps_columns(reshape: ir.Node) -> bool:
    shapes = [value.shape for value in (reshape.inputs[0], reshape.outputs[0]) if value is not None]
    widths = {shape[-1] for shape in shapes if shape}
    return len(shapes) == 2 and len(widths) == 1 and all(isinstance(width, int) for width in widths)


def _columns_before(split: ir.Node, part: ir.Value) -> tuple[int, int] | None:
    """Where ``part`` begins and ends in the last axis of what is split."""
    whole = split.inputs[0]
    if whole is None or whole.shape is None or attribute(split, "axis", 0) not in (-1, len(whole.shape) - 1):
        return None
    begin = 0
    for output in split.outputs:
        size = output.shape[-1] if output.shape is not None else None
        if not isinstance(size, int):
            return None
        if output is part:
            return begin, begin + size
        begin += size
    return None


def _edit(node: ir.Node, index: int, factor: float | Floats, columns: tuple[int, int] | None) -> list[Edit] | None:
    """A constant, multiplied in these columns of its last axis; None for anything else."""
    value = node.inputs[index]
    tensor = value.const_value if value is not None and value.is_initializer() else None
    if tensor is None or tensor.dtype != ir.DataType.FLOAT:
        return None
    if node.op_type == "MatMul" and len(value.uses()) > 1:
        return None  # one weight of several layers stays one
    factor, shape = np.asarray(factor, np.float32), tensor.shape.numpy()
    begin, end = columns or (0, shape[-1] if shape else 0)
    if not shape:
        return [Edit(node, index, factor, None)] if columns is None and factor.ndim == 0 else None
    if shape[-1] < end or (factor.ndim and factor.shape[0] != end - begin):
        return None
    return [Edit(node, index, factor, columns)]
