"""Computes what follows the last attention only for tokens whose logits are wanted, of a prompt usually one.

What works on each token by itself may as well work on fewer tokens: their choice moves up, from before the head, over
such nodes. A prompt then takes one layer's products less, but for those that attention reads.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from attendant.bundle.graph_io import SLOTS

from attendant_export.graph.nodes import Editor, attribute, nodes_of, producer

_ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh", "Relu", "Gelu", "FastGelu", "QuickGelu", "Erf"}
)
_NORMS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"})


def choose_rows_early(editor: Editor) -> None:
    """Moves ``logits_index`` up, in place. The graph has it before its head: Gather(Reshape(hidden), logits_index)."""
    for gather in nodes_of(editor.graph, "Gather"):
        index, flat = gather.inputs[1], producer(gather.inputs[0], "Reshape")
        if index is None or flat is None or attribute(gather, "axis", 0) != 0 or not _is_logits_index(index):
            continue
        hidden = flat.inputs[0]
        if hidden is None or not _is_per_token(hidden) or len(flat.outputs[0].uses()) != 1:
            continue
        moved = _nodes_below(editor.graph, flat)
        if moved:
            plain = next(value for value in editor.graph.inputs if value.name == SLOTS.logits_index.name)
            _narrow(editor, moved, plain)
            editor.redirect(gather.outputs[0], hidden)
            editor.drop_unused()


def _is_logits_index(value: ir.Value) -> bool:
    """Whether it is the graph's input, or that in a shape it has anyway."""
    reshape = producer(value, "Reshape")
    source = reshape.inputs[0] if reshape is not None else value
    return source is not None and source.is_graph_input() and source.name == SLOTS.logits_index.name


def _nodes_below(graph: ir.Graph, flat: ir.Node) -> list[ir.Node]:
    """The nodes that work on each token by itself and that only ``flat`` reads, through one another; in order."""
    chosen = {flat}
    for node in reversed(list(graph)):
        readers = [use.node for output in node.outputs for use in output.uses()]
        if readers and all(reader in chosen for reader in readers) and _works_on_tokens(node):
            chosen.add(node)
    return [node for node in graph if node in chosen and node is not flat]


def _works_on_tokens(node: ir.Node) -> bool:
    """Whether each token of its outputs, [batch, sequence, width], depends on the same token of its inputs only."""
    values = [value for value in node.inputs if value is not None]
    moving = [value for value in values if not value.is_initializer()]
    if not all(map(_is_per_token, (*moving, *node.outputs))) or any(
        output.is_graph_output() for output in node.outputs
    ):
        return False
    constants = [value for value in values if value.is_initializer()]
    if node.op_type in _ELEMENTWISE:
        return all(value.shape is not None and len(value.shape) <= 1 for value in constants)
    if node.op_type in _NORMS:
        return node.inputs[0] in moving and len(moving) == 1 and attribute(node, "axis", -1) in (-1, 2)
    if node.op_type == "MatMul":
        return node.inputs[0] in moving and node.inputs[1] in constants
    return node.op_type == "Split" and len(moving) == 1 and attribute(node, "axis", 0) in (-1, 2)


def _is_per_token(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) == 3 and isinstance(value.shape[2], int)


def _narrow(editor: Editor, nodes: list[ir.Node], index: ir.Value) -> None:
    """Makes ``nodes`` work on [num_logits, width]."""
    inside, narrowed = set(nodes), dict[ir.Value, ir.Value]()
    for node in nodes:
        for place, value in enumerate(node.inputs):
            if value is None or value.is_initializer() or value.producer() in inside:
                continue
            if value not in narrowed:
                narrowed[value] = _chosen_rows(editor, node, value, index)
            node.replace_input_with(place, narrowed[value])
        if "axis" in node.attributes:
            node.attributes["axis"] = ir.AttrInt64("axis", -1)
        for output in node.outputs:
            assert output.shape is not None
            output.shape = ir.Shape(["num_logits", output.shape[2]])


def _chosen_rows(editor: Editor, node: ir.Node, value: ir.Value, index: ir.Value) -> ir.Value:
    assert value.shape is not None
    width = value.shape[2]
    shape = editor.constant(np.array([-1, width], np.int64), "chosen_shape")
    flat = editor.before(node, "Reshape", [value, shape])
    chosen = editor.before(node, "Gather", [flat, index], axis=0)
    for made in (flat, chosen):
        made.dtype = value.dtype
    flat.shape, chosen.shape = ir.Shape([None, width]), ir.Shape(["num_logits", width])
    return chosen
