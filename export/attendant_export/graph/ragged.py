"""Lets the rows of a run differ in length: tokens are packed, and attention alone works on a padded view of them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from attendant_export.graph.nodes import Editor, attribute, nodes_of

INPUTS = ("query_seqlens", "pad_index", "unpad_index")
"""What a graph takes besides, once its rows may differ."""

_BIAS, _QUERY_SEQLENS = 10, 16  # which inputs of an attention node


def allow_ragged_rows(graph: ir.Graph) -> bool:
    """Puts a gather before each input of an attention node over slots and one behind its output, in place.

    The tokens stay [batch, sequence, width] in whatever way the caller lays them out, usually as one row; the rows of
    the caches are those of the padded view, [rows, longest, width].

    Returns:
        Whether it did: a score bias, which is laid out as the tokens are, cannot be viewed so.
    """
    attention = nodes_of(graph, "GroupQueryAttention")
    if not attention or any(len(node.inputs) > _BIAS and node.inputs[_BIAS] is not None for node in attention):
        return False
    seqlens = _add_input(graph, INPUTS[0], ir.DataType.INT32, ["rows"])
    pad = _add_input(graph, INPUTS[1], ir.DataType.INT64, ["rows", "longest", 2])
    unpad = _add_input(graph, INPUTS[2], ir.DataType.INT64, ["batch", "sequence", 2])
    editor = Editor(graph)
    _read_batch_of_tokens(graph)
    for node in attention:
        _view_padded(editor, node, seqlens, pad, unpad)
    for value in (*graph.inputs, *graph.outputs):
        if value.name == "seqlens_k" or str(value.name).startswith(("past_", "present_")):
            assert value.shape is not None
            value.shape = ir.Shape(["rows", *list(value.shape)[1:]])
    return True


def _add_input(graph: ir.Graph, name: str, dtype: ir.DataType, shape: Sequence[str | int]) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
    graph.inputs.append(value)
    return value


def _read_batch_of_tokens(graph: ir.Graph) -> None:
    """Has the tokens' batch size read off the tokens. Tracing reads it off any input that has it, and that of the
    caches becomes their rows."""
    tokens = next(value for value in graph.inputs if value.name in ("input_ids", "position_ids"))
    for node in nodes_of(graph, "Shape"):
        source = node.inputs[0]
        of_rows = source is not None and source.is_graph_input() and str(source.name).startswith(("past_", "seqlens_k"))
        if of_rows and (attribute(node, "start", 0), attribute(node, "end", None)) == (0, 1):
            node.replace_input_with(0, tokens)


def _view_padded(editor: Editor, node: ir.Node, seqlens: ir.Value, pad: ir.Value, unpad: ir.Value) -> None:
    for index, packed in enumerate(node.inputs[:3]):
        if packed is None:  # queries, keys and values come in one tensor
            continue
        node.replace_input_with(index, editor.before(node, "GatherND", [packed, pad]))
    node.resize_inputs(_QUERY_SEQLENS + 1)
    node.replace_input_with(_QUERY_SEQLENS, seqlens)
    attended = node.outputs[0]
    readers = [(use.node, use.idx) for use in attended.uses()]
    again = editor.after(node, "GatherND", [attended, unpad])
    again.shape, again.type = attended.shape, attended.type
    attended.shape = None  # that of the view
    for reader, index in readers:
        reader.replace_input_with(index, again)
