"""Token embeddings in 8 bits. A table that is the head's weight, too, is stored once, in the head's form.

The head's channels may have been scaled and rotated before it was quantised; a looked-up row is turned back then.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from attendant_export.graph.nodes import MICROSOFT, Editor, array_of
from attendant_export.quantisation.blocks import BlockFormat
from attendant_export.quantisation.rotation import Rotator
from attendant_export.quantisation.rows import int8_columns
from attendant_export.quantisation.smoothing import Remedy


def find_tied(tables: list[ir.Node], head: ir.Node) -> ir.Node | None:
    """The Gather, of ``tables``, whose table [V, K] is the head's weight [K, V], transposed."""
    weight = head.inputs[1]
    if weight is None:
        return None
    rows = array_of(weight).T
    for node in tables:
        table = array_of(node.inputs[0]) if node.inputs[0] is not None else None
        if table is None or table.shape != rows.shape:
            continue
        if np.array_equal(table[:8], rows[:8]) and np.array_equal(table, rows):
            return node
    return None


def quantise_table(editor: Editor, node: ir.Node) -> None:
    """Gather(table, ids)  ->  Cast(Gather(int8 table, ids)) * Gather(scales, ids): a scale for each token."""
    table, ids = node.inputs
    assert table is not None
    values, scales = int8_columns(array_of(table).T)
    name = str(table.name)
    rows = editor.before(node, "Gather", [editor.constant(np.ascontiguousarray(values.T), f"{name}_int8"), ids], axis=0)
    rows = editor.before(node, "Cast", [rows], to=int(ir.DataType.FLOAT))
    scale = editor.before(node, "Gather", [editor.constant(scales[:, None], f"{name}_scale"), ids], axis=0)
    editor.replace(node, "Mul", [rows, scale])


def look_up_columns(
    editor: Editor, node: ir.Node, values: ir.Value, scales: ir.Value, remedy: Remedy, rotator: Rotator
) -> None:
    """Gather(table, ids)  ->  the columns ``ids`` [batch, sequence] of ``values`` [K, V] int8, times ``scales`` [V]."""
    ids, output = node.inputs[1], node.outputs[0]
    assert ids is not None
    columns = editor.before(node, "Gather", [values, ids], axis=1)  # [K, batch, sequence]
    rows = editor.before(node, "Transpose", [columns], perm=[1, 2, 0])
    rows = editor.before(node, "Cast", [rows], to=int(ir.DataType.FLOAT))
    scale = editor.before(node, "Gather", [scales, ids], axis=0)
    last = editor.constant(np.array([-1], np.int64), "table_axis")
    scale = editor.before(node, "Unsqueeze", [scale, last])
    found = editor.before(node, "Mul", [rows, scale])
    _turn_back(editor, node, found, output, remedy, rotator)


def look_up_blocks(
    editor: Editor,
    node: ir.Node,
    values: ir.Value,
    scales: ir.Value,
    form: BlockFormat,
    remedy: Remedy,
    rotator: Rotator,
) -> None:
    """Gather(table, ids)  ->  rows ``ids`` of ``values`` [V, blocks, block] uint8, each block times its scale."""
    table, ids, output = node.inputs[0], node.inputs[1], node.outputs[0]
    assert table is not None
    assert table.shape is not None
    channels = int(table.shape[1])
    last = editor.constant(np.array([2], np.int64), "table_axis")
    by_block = editor.before(node, "Unsqueeze", [scales, last])  # [V, blocks, 1]
    blocks = editor.before(
        node,
        "GatherBlockQuantized",
        [values, ids, by_block],
        domain=MICROSOFT,
        bits=8,
        block_size=form.block,
        gather_axis=0,
        quantize_axis=2,
    )  # [batch, sequence, blocks, block]
    shape = editor.constant(np.array([0, 0, -1], np.int64), "table_shape")
    found = editor.before(node, "Reshape", [blocks, shape])
    width = -(-channels // form.block) * form.block
    if width > channels:  # the last block was filled up
        ends = [editor.constant(np.array([end], np.int64), "table_end") for end in (0, channels, 2)]
        found = editor.before(node, "Slice", [found, *ends])
    _turn_back(editor, node, found, output, remedy, rotator)


def _turn_back(
    editor: Editor, node: ir.Node, found: ir.Value, output: ir.Value, remedy: Remedy, rotator: Rotator
) -> None:
    """Undoes what the head's channels went through, and puts the result in the place of the Gather."""
    found.shape, found.dtype = output.shape, output.dtype
    if remedy.rotation > 1:  # a symmetric matrix is its own inverse
        found = rotator.rotate(node, found, remedy.rotation)
    if remedy.scale is not None:
        factor = editor.constant((1 / remedy.scale).astype(np.float32), "table_channels")
        found = editor.before(node, "Mul", [found, factor])
        found.shape, found.dtype = output.shape, output.dtype
    editor.redirect(output, found)
    editor.graph.remove(node, safe=True)
