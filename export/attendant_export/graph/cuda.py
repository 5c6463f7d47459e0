"""Graph passes for what ONNX Runtime's CUDA provider has no kernel for, or cannot replay in a CUDA graph.

A node without a kernel would run on the host, with copies there and back, and keep the whole graph from being captured.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from attendant.bundle import PAGED_RUN_TOKENS

from attendant_export.graph.nodes import Editor, attribute, constant_of, nodes_of

_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_INDEXING = ("ArgMax", "ArgMin")
# Of the operators that modelling code leads to, those with a kernel for float32 and none for bfloat16 (version 1.31).
_NO_BFLOAT16 = (
    *_COMPARISONS,
    *_INDEXING,
    *("Ceil", "Clip", "Conv", "Cos", "CumSum", "Einsum", "Elu", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu"),
    *("Log", "LogSoftmax", "NonZero", "OneHot", "Pad", "PRelu", "Reciprocal", "ReduceL1", "ReduceL2"),
    *("ReduceLogSumExp", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "Round", "Selu", "Sin"),
    *("Softplus", "Softsign", "TopK"),
)


def fit_cuda(editor: Editor) -> None:
    """Runs every pass of this module in place. To be called after the other passes."""
    slice_unequal_splits(editor)
    widen_bfloat16(editor)
    lengthen_rotary_tables(editor)
    editor.drop_unused()


def slice_unequal_splits(editor: Editor) -> None:
    """A Split into unequal parts becomes a Slice for each: its kernel copies the sizes from host memory that is free
    for other uses when a CUDA graph is replayed."""
    for node in nodes_of(editor.graph, "Split"):
        sizes = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
        if sizes is None or len(set(sizes.tolist())) == 1:
            continue
        axis = np.array([attribute(node, "axis", 0)], np.int64)
        ends = np.cumsum(sizes)
        for output, start, end in zip(node.outputs, ends - sizes, ends, strict=True):
            bounds = [editor.constant(np.array([bound], np.int64), "slice_bound") for bound in (start, end)]
            part = editor.before(node, "Slice", [node.inputs[0], *bounds, editor.constant(axis, "slice_axis")])
            editor.redirect(output, part)


def widen_bfloat16(editor: Editor) -> None:
    """Nodes without a kernel for bfloat16 compute in float32."""
    for node in nodes_of(editor.graph, *_NO_BFLOAT16):
        if any(_is_bfloat16(value) for value in node.inputs):
            _widen(editor, node, returns_data=node.op_type not in (*_COMPARISONS, *_INDEXING))
    for node in nodes_of(editor.graph, "SimplifiedLayerNormalization"):
        scale = node.inputs[1]
        if _is_bfloat16(node.inputs[0]) != _is_bfloat16(scale):
            _widen(editor, node, returns_data=_is_bfloat16(scale))


def lengthen_rotary_tables(editor: Editor) -> None:
    """Tables of RotaryEmbedding get as many rows as a run may have tokens: its kernel asks for that, though it reads no
    row beyond the context length."""
    longer: dict[ir.Value, ir.Value] = {}
    for node in nodes_of(editor.graph, "RotaryEmbedding"):
        for index in (2, 3):
            table = node.inputs[index]
            rows = constant_of(table)
            if table is None or rows is None or len(rows) >= PAGED_RUN_TOKENS:
                continue
            if table not in longer:
                array = np.zeros((PAGED_RUN_TOKENS, *rows.shape[1:]), rows.dtype)
                array[: len(rows)] = rows
                longer[table] = editor.constant(array, f"{table.name}_longer")
            node.replace_input_with(index, longer[table])


def _is_bfloat16(value: ir.Value | None) -> bool:
    return value is not None and value.dtype == ir.DataType.BFLOAT16


def _widen(editor: Editor, node: ir.Node, *, returns_data: bool) -> None:
    """Casts what ``node`` reads to float32 and, if it is data, its first output back."""
    for index, value in enumerate(node.inputs):
        if _is_bfloat16(value):
            wide = editor.before(node, "Cast", [value], to=int(ir.DataType.FLOAT))
            wide.dtype = ir.DataType.FLOAT
            node.replace_input_with(index, wide)
    if returns_data:
        output = node.outputs[0]
        uses = list(output.uses())
        narrow = editor.after(node, "Cast", [output], to=int(ir.DataType.BFLOAT16))
        narrow.dtype, narrow.shape = ir.DataType.BFLOAT16, output.shape
        for use in uses:
            use.node.replace_input_with(use.idx, narrow)
        output.dtype = ir.DataType.FLOAT
