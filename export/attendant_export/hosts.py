"""Passes for graphs that run on processors, where some of ONNX Runtime's kernels have slow and fast ways."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph import Editor, attribute, constant_of, nodes_of

_NORMS = {
    "SkipLayerNormalization": "LayerNormalization",
    "SkipSimplifiedLayerNormalization": "SimplifiedLayerNormalization",
}
_SUM = 3  # which output of a fused node is the sum
_PAST_KEYS = 3  # which input of an attention node
_LINEAR = ("Reshape", "Transpose", "RotaryEmbedding")


def tune_for_hosts(editor: Editor) -> None:
    """Every pass of this module, in place."""
    split_skip_norms(editor)
    scale_queries(editor)


def split_skip_norms(editor: Editor) -> None:
    """A norm of a sum becomes a sum and a norm: on a processor, ONNX Runtime's fused node takes several times as long.

    On a GPU it fuses them again when it opens the graph.
    """
    for node in nodes_of(editor.graph, *_NORMS):
        simplified = node.op_type == "SkipSimplifiedLayerNormalization"
        terms = [*node.inputs[:2], *node.inputs[3 if simplified else 4 :]]
        total, *others = (value for value in terms if value is not None)
        for value in others:
            added = editor.before(node, "Add", [total, value])
            added.shape, added.dtype = node.inputs[0].shape, node.inputs[0].dtype
            total = added
        if len(node.outputs) > _SUM:
            editor.redirect(node.outputs[_SUM], total)
        weights = node.inputs[2:3] if simplified else node.inputs[2:4]
        epsilon = attribute(node, "epsilon", 1e-12)
        editor.replace(node, _NORMS[node.op_type], [total, *weights], axis=-1, epsilon=epsilon)
    editor.drop_unused()


@dataclass(frozen=True)
class _Edit:
    """Input ``index`` of ``node`` becomes the constant ``array``."""

    node: ir.Node
    index: int
    array: npt.NDArray[np.float32]


def scale_queries(editor: Editor) -> None:
    """Attention multiplies its scores by 1: the scale goes into the weights that make the queries, or else before it.

    For one query row, ONNX Runtime's product with the keys has a kernel that reads them where they are, but takes it
    only without a scale; the other copies all keys in another order first. Decode rows over 150 positions take seven
    tenths of the time, over 600 six tenths.
    """
    for node in nodes_of(editor.graph, "GroupQueryAttention"):
        query, past = node.inputs[0], node.inputs[_PAST_KEYS]
        assert query is not None
        assert past is not None
        assert past.shape is not None
        head_size = int(past.shape[3])
        scale = attribute(node, "scale", 0.0) or 1 / math.sqrt(head_size)
        if scale == 1:
            continue
        packed = node.inputs[1] is None
        edits = _scaled(query, float(scale), (0, attribute(node, "num_heads", 0) * head_size) if packed else None)
        if edits is not None:
            for edit in edits:
                old = edit.node.inputs[edit.index]
                edit.node.replace_input_with(edit.index, editor.constant(edit.array, f"{old.name}_scaled"))
        elif not packed:
            factor = editor.constant(np.array(scale, np.float32), "query_scale")
            node.replace_input_with(0, editor.before(node, "Mul", [query, factor]))
        else:
            continue
        node.attributes["scale"] = ir.AttrFloat32("scale", 1.0)
    editor.drop_unused()


def _scaled(value: ir.Value | None, scale: float, columns: tuple[int, int] | None) -> list[_Edit] | None:
    """What to change so that ``value``, or only these columns of it, is multiplied; None if constants cannot do it."""
    node = value.producer() if value is not None else None
    if value is None or node is None or len(value.uses()) != 1 or value.is_graph_output():
        return None
    if (node.op_type in _LINEAR and columns is None) or (node.op_type == "Reshape" and _keeps_columns(node)):
        return _scaled(node.inputs[0], scale, columns)
    if node.op_type == "Split":
        before = _columns_before(node, value)
        return None if before is None or columns is not None else _scaled_part(node, before, scale)
    if node.op_type == "MatMul":
        return _edit(node, 1, scale, columns)
    if node.op_type == "Add":
        bias = _edit(node, 1, scale, columns)
        product = _scaled(node.inputs[0], scale, columns)
        return None if bias is None or product is None else bias + product
    if node.op_type in ("SimplifiedLayerNormalization", "LayerNormalization") and columns is None:
        weights = [_edit(node, index, scale, None) for index in range(1, len(node.inputs))]
        known = [edit for edits in weights for edit in edits or ()]
        return known if len(known) == len(weights) else None
    return None


def _scaled_part(split: ir.Node, columns: tuple[int, int], scale: float) -> list[_Edit] | None:
    """The same for a part of what is split. The other parts are read elsewhere, but made in columns of their own."""
    whole = split.inputs[0]
    return None if whole is None or len(whole.uses()) != 1 else _scaled(whole, scale, columns)


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


def _edit(node: ir.Node, index: int, scale: float, columns: tuple[int, int] | None) -> list[_Edit] | None:
    """A constant, multiplied in these columns of its last axis; None for anything else."""
    array = constant_of(node.inputs[index])
    if array is None or array.dtype != np.float32:
        return None
    if columns is None:
        return [_Edit(node, index, array * np.float32(scale))]
    begin, end = columns
    if array.ndim == 0 or array.shape[-1] < end:
        return None
    array = array.copy()
    array[..., begin:end] *= np.float32(scale)
    return [_Edit(node, index, array)]
