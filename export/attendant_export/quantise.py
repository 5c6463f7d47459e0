"""Weights in 8 or 4 bits, as passes over a graph.

int8 has a scale per output channel of a weight and, at run time, one per row of the activations: :mod:`int8_rows`.
int4 is ONNX Runtime's MatMulNBits: :mod:`nbit_blocks`. On a CPU its blocks are of 32 channels, with zero points; the
products that attention reads, which are hurt most, have 8 bits in blocks of 64. Larger blocks would be up to a third
faster, but there ONNX Runtime adds up in another order for a row by itself than for a pair of rows, so that an answer
would depend on its company: exact are 4 bits in blocks of 16 and 32, and 8 bits in blocks of 32 and 64.
Float32 token embeddings are int8 with a scale per row in both.

Left as they are: weights with a side below 32 (they save next to nothing), and the router of a mixture of experts,
whose small errors would send a token to another expert.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import onnx_ir as ir

from attendant_export.graph import Editor, array_of, attribute, nodes_of
from attendant_export.int8_rows import RowQuantiser, int8_columns
from attendant_export.nbit_blocks import BlockFormat, to_matmul_nbits

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_LEAST_SIDE = 32
_ROUTER_DEPTH = 8
_ATTENTION = ("GroupQueryAttention", "PagedAttention")
_HOST_BLOCKS = BlockFormat(4, 32, zeros=True)
_HOST_ATTENTION_BLOCKS = BlockFormat(8, 64)
_CUDA_BLOCKS = BlockFormat(4, 32)


def quantise(model: ir.Model, precision: Literal["int8", "int4"]) -> int:
    """Quantises every constant weight that the rules above allow, in place; returns how many."""
    editor = Editor(model.graph)
    matmuls = [node for node in nodes_of(model.graph, "MatMul") if quantisable(node)]
    if precision == "int8":
        rows = RowQuantiser(editor)
        for node in matmuls:
            rows.quantise(node)
    else:
        read_by_attention = _products_of_attention(model.graph)
        formats = {node: _block_format(node, node in read_by_attention) for node in matmuls}
        for node, form in formats.items():
            to_matmul_nbits(editor, node, form)
    tables = [node for node in nodes_of(model.graph, "Gather") if _is_token_embedding(node)]
    for node in tables:
        _quantise_table(editor, node)
    editor.drop_unused()
    return len(matmuls) + len(tables)


def _block_format(node: ir.Node, read_by_attention: bool) -> BlockFormat:
    weight = node.inputs[1]
    assert weight is not None
    if weight.dtype != ir.DataType.FLOAT:  # halves are for CUDA
        return _CUDA_BLOCKS
    return _HOST_ATTENTION_BLOCKS if read_by_attention else _HOST_BLOCKS


def _products_of_attention(graph: ir.Graph) -> set[ir.Node]:
    """The MatMuls that make queries, keys and values: the last ones before an attention node."""
    found: set[ir.Node] = set()
    front = [value for node in nodes_of(graph, *_ATTENTION) for value in node.inputs[:3]]
    seen: set[ir.Value] = set()
    while front:
        value = front.pop()
        node = value.producer() if value is not None else None
        if value is None or node is None or value in seen:
            continue
        seen.add(value)
        if node.op_type == "MatMul":
            found.add(node)
        else:
            front += node.inputs
    return found


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
