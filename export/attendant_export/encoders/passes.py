"""Rewrites a traced encoder graph into the one that is served; :mod:`attendant_export.graph.passes` has the reasons."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from attendant.bundle import Target
from attendant.bundle.graph_io import PACKED

from attendant_export.encoders.trace import Dimensions
from attendant_export.graph.hosts import split_skip_norms
from attendant_export.graph.nodes import Editor, attribute, constant_of, nodes_of, producer
from attendant_export.graph.passes import join_reshapes, products_to_matmul, strip_metadata


def rewrite_encoder(model: ir.Model, dimensions: Dimensions, target: Target = "cpu") -> None:
    """Runs every pass in place and gives the graph inputs and outputs the names of their dimensions.

    Args:
        target: the provider that the graph is for.
    """
    editor = Editor(model.graph)
    products_to_matmul(editor)
    join_reshapes(editor)
    gather_once(editor)
    bias_once(editor)
    sums_by_product(editor)
    if target == "cpu":
        convolve_flat(editor)
    split_skip_norms(editor)
    editor.drop_unused()
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        sizes = zip(dimensions[str(value.name)], value.shape, strict=True)
        value.shape = ir.Shape([name if name is not None else int(size) for name, size in sizes])
    strip_metadata(model)


def gather_once(editor: Editor) -> None:
    """Takes the first token of each row from the packed tokens, not from their padded view.

    Gather(Gather(x, pad_index), 0, axis=1)  ->  Gather(x, Gather(pad_index, 0, axis=1)).
    """
    for node in nodes_of(editor.graph, "Gather"):
        place, gather = constant_of(node.inputs[1]), producer(node.inputs[0], "Gather")
        if place is None or place.size != 1 or attribute(node, "axis", 0) != 1 or gather is None:
            continue
        index = gather.inputs[1]
        if index is None or not _is_view(index) or attribute(gather, "axis", 0):
            continue
        column = editor.constant(place.astype(np.int64), "first_token")
        chosen = editor.before(node, "Gather", [index, column], axis=1)
        editor.replace(node, "Gather", [gather.inputs[0], chosen], axis=0)


def sums_by_product(editor: Editor) -> None:
    """Sums, and takes the mean of, the tokens of each row by a product: ReduceSum and ReduceMean add up in another
    order for a row alone than for one in company.

    ReduceMean(x [rows, tokens, width], axis 1)  ->  [1, tokens] of 1/tokens @ x; of a sum, of 1.
    """
    for node in nodes_of(editor.graph, "ReduceMean", "ReduceSum"):
        value = node.inputs[0]
        axes = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
        floats = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
        if value is None or value.shape is None or len(value.shape) != 3 or value.dtype not in floats:
            continue
        if axes is None or axes.tolist() not in ([1], [-2]):
            continue
        total = editor.before(node, "MatMul", [_ones(editor, node, value), value])  # [rows, 1, width]
        if node.op_type == "ReduceMean" and not isinstance(value.shape[1], int):
            count = editor.before(node, "Shape", [value], start=1, end=2)
            total = editor.before(node, "Div", [total, editor.before(node, "CastLike", [count, value])])
        if attribute(node, "keepdims", 1):
            editor.redirect(node.outputs[0], total)
            editor.graph.remove(node, safe=True)
        else:
            editor.replace(node, "Squeeze", [total, editor.constant(np.array([1]), "tokens_axis")])


def convolve_flat(editor: Editor) -> None:
    """Makes convolutions over time those over images that are one pixel high: of the former, ONNX Runtime cuts a single
    row among its threads, and rows in company not, so that it adds up in another order.

    Conv(x [rows, channels, length])  ->  Squeeze(Conv(Unsqueeze(x) [rows, channels, 1, length])).

    Those of several groups stay: they are never cut.
    """
    flat = {"strides": 1, "dilations": 1, "kernel_shape": 1}
    for node in nodes_of(editor.graph, "Conv"):
        value, weight = node.inputs[:2]
        if value is None or weight is None or weight.shape is None or len(weight.shape) != 3:
            continue
        if attribute(node, "group", 1) != 1:
            continue
        height = editor.constant(np.array([2], np.int64), "height_axis")
        image = editor.before(node, "Unsqueeze", [value, height])
        known = constant_of(weight)
        if known is None:
            kernel = editor.before(node, "Unsqueeze", [weight, height])
        else:
            kernel = editor.constant(np.expand_dims(known, 2), str(weight.name))
        attributes = {name: each.value for name, each in node.attributes.items()}
        for name, size in flat.items():
            if name in attributes:
                attributes[name] = [size, *attributes[name]]
        if "pads" in attributes:
            start, end = attributes["pads"]
            attributes["pads"] = [0, start, 0, end]
        found = editor.before(node, "Conv", [image, kernel, *node.inputs[2:]], **attributes)
        editor.replace(node, "Squeeze", [found, height])
        editor.drop_constant(weight)


def _ones(editor: Editor, node: ir.Node, value: ir.Value) -> ir.Value:
    """[1, tokens] before ``node``: what the tokens of ``value`` [rows, tokens, width] are multiplied by to add them up,
    or to take their mean where their number is known."""
    assert value.shape is not None
    assert value.dtype is not None
    tokens, kind = value.shape[1], value.dtype.numpy()
    if isinstance(tokens, int):
        factor = 1 / tokens if node.op_type == "ReduceMean" else 1.0
        return editor.constant(np.full((1, tokens), factor, kind), "tokens_sum")
    one = editor.constant(np.array([1], np.int64), "one_row")
    size = editor.before(node, "Concat", [one, editor.before(node, "Shape", [value], start=1, end=2)], axis=0)
    return editor.before(node, "ConstantOfShape", [size], value=ir.tensor(np.ones(1, kind)))


def _is_view(value: ir.Value) -> bool:
    """Whether it tells which token each place of the padded view shows."""
    return bool(value.is_graph_input()) and value.name == PACKED.pad_index.name


def bias_once(editor: Editor) -> None:
    """Adds the biases of products that share one MatMul before its result is cut, in one node.

    Split(x @ w) + b for every part  ->  Split(x @ w + concat(b)).
    """
    for split in nodes_of(editor.graph, "Split"):
        product = producer(split.inputs[0], "MatMul")
        adds = [_only_add(output) for output in split.outputs]
        if product is None or len(split.inputs[0].uses()) != 1 or any(add is None for add in adds):
            continue
        biases = [constant_of(add.inputs[1]) for add in adds if add is not None]
        known = [bias for bias in biases if bias is not None and bias.ndim == 1]
        if len(known) != len(adds):
            continue
        bias = editor.constant(np.concatenate(known), "packed_bias")
        total = editor.before(split, "Add", [product.outputs[0], bias])
        total.shape, total.dtype = product.outputs[0].shape, product.outputs[0].dtype
        split.replace_input_with(0, total)
        for add, output in zip(adds, split.outputs, strict=True):
            if add is not None:
                editor.redirect(add.outputs[0], output)
    editor.drop_unused()


def _only_add(value: ir.Value) -> ir.Node | None:
    """The node that adds a constant to ``value``, if nothing else reads it."""
    uses = list(value.uses())
    if len(uses) != 1 or uses[0].node.op_type != "Add" or uses[0].idx != 0:
        return None
    return uses[0].node
