"""Lets the rows of a run differ in length: tokens are packed, and attention alone works on a padded view of them."""

from __future__ import annotations

import onnx_ir as ir
from attendant.bundle.graph_io import RAGGED, SLOTS, RaggedInputs, by_name, grouped, ports_of

from attendant_export.graph.nodes import Editor, attribute, nodes_of, value_of
from attendant_export.graph.ports import SlotPorts, port_of

INPUTS = tuple(port.name for port in ports_of(RAGGED))
"""What a graph takes besides, once its rows may differ."""

_ROWS = "rows"  # of the caches
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
    of_rows = [value for value in (*graph.inputs, *graph.outputs) if _is_of_rows(value)]
    added: RaggedInputs[ir.Value] = grouped(RaggedInputs, {port.name: value_of(port) for port in ports_of(RAGGED)})
    graph.inputs.extend(by_name(added).values())
    editor = Editor(graph)
    _read_batch_of_tokens(graph)
    for node in attention:
        _view_padded(editor, node, added)
    for value in of_rows:
        assert value.shape is not None
        value.shape = ir.Shape([_ROWS, *list(value.shape)[1:]])
    return True


def _is_of_rows(value: ir.Value) -> bool:
    """Whether an input or output of a graph has a row of the caches each."""
    port = port_of(SlotPorts(), str(value.name))
    return port is not None and port.dims[0] == _ROWS


def _read_batch_of_tokens(graph: ir.Graph) -> None:
    """Has the tokens' batch size read off the tokens. Tracing reads it off any input that has it, and that of the
    caches becomes their rows."""
    tokens = next(value for value in graph.inputs if value.name in (SLOTS.input_ids.name, SLOTS.position_ids.name))
    for node in nodes_of(graph, "Shape"):
        source = node.inputs[0]
        of_rows = source is not None and source.is_graph_input() and _is_of_rows(source)
        if of_rows and (attribute(node, "start", 0), attribute(node, "end", None)) == (0, 1):
            node.replace_input_with(0, tokens)


def _view_padded(editor: Editor, node: ir.Node, added: RaggedInputs[ir.Value]) -> None:
    for index, packed in enumerate(node.inputs[:3]):
        if packed is None:  # queries, keys and values come in one tensor
            continue
        node.replace_input_with(index, editor.before(node, "GatherND", [packed, added.pad_index]))
    node.resize_inputs(_QUERY_SEQLENS + 1)
    node.replace_input_with(_QUERY_SEQLENS, added.query_seqlens)
    attended = node.outputs[0]
    readers = [(use.node, use.idx) for use in attended.uses()]
    again = editor.after(node, "GatherND", [attended, added.unpad_index])
    again.shape, again.type = attended.shape, attended.type
    attended.shape = None  # that of the view
    for reader, index in readers:
        reader.replace_input_with(index, again)
