"""Rewrites a traced graph into the one that is served: fewer nodes, and on a CPU the same bits in every batch.

ONNX Runtime's CPU provider computes MatMul with a constant weight row by row in one way, whatever the number of rows;
the passes bring every product with a weight into that form.
"""

from __future__ import annotations

import onnx_ir as ir
from attendant.bundle import ChangingFrequencies

from attendant_export.decoders.layouts import GraphLayout, SlotLayout
from attendant_export.graph.cuda import fit_cuda
from attendant_export.graph.hosts import tune_for_hosts
from attendant_export.graph.nodes import Editor, attribute, constant_of, nodes_of, producer, same_shape, same_size
from attendant_export.graph.ports import port_of
from attendant_export.graph.rotary import pack_attention_inputs, rotate_in_attention, tabulate_positions
from attendant_export.graph.wanted_rows import choose_rows_early


def rewrite(
    model: ir.Model,
    context_length: int,
    layout: GraphLayout | None = None,
    *,
    keep_tied: bool = False,
    changing: ChangingFrequencies | None = None,
) -> None:
    """Runs every pass in place and gives the graph inputs and outputs their dimensions' names.

    Args:
        layout: the one that ``model`` was traced with; slots by default.
        changing: position_ids tell frequencies besides: of ``two`` sets, the second has rows of its own in the tables;
            what ``each`` length has of its own is computed. Attention nodes, which count positions themselves, cannot
            rotate then.
        keep_tied: let a head that is the transposed embedding table stay one tensor with it.
    """
    layout = layout or SlotLayout()
    editor = Editor(model.graph)
    split_experts(editor)
    products_to_matmul(editor, keep_tied=keep_tied)
    if changing is None:
        tabulate_positions(editor, context_length)
    elif changing.kind == "two":
        tabulate_positions(editor, context_length + changing.after)
    join_reshapes(editor)
    if changing is None:
        rotate_in_attention(editor)
    join_reshapes(editor)
    pack_attention_inputs(editor)
    if layout.target == "cuda":
        fit_cuda(editor)
    else:
        tune_for_hosts(editor)
        choose_rows_early(editor)
    name_dimensions(model.graph, layout)
    strip_metadata(model)


def split_experts(editor: Editor) -> None:
    """Cuts stacked expert weights, [experts, K, N], into one constant per expert, which its MatMul can hold packed."""
    for node in nodes_of(editor.graph, "Split"):
        stacked = constant_of(node.inputs[0])
        if stacked is None or attribute(node, "axis", 0) != 0 or len(node.outputs) != len(stacked):
            continue
        for index, output in enumerate(node.outputs):
            squeezed = [use.node for use in output.uses() if use.node.op_type == "Squeeze"]
            if not squeezed or len(squeezed) != len(output.uses()):
                continue
            expert = editor.constant(stacked[index], f"{node.inputs[0].name}_{index}")
            for squeeze in squeezed:
                editor.redirect(squeeze.outputs[0], expert)
    editor.drop_unused()


def join_reshapes(editor: Editor) -> None:
    """Reads through a Reshape of a Reshape, and drops one that gives back the shape it started from."""
    for node in nodes_of(editor.graph, "Reshape"):
        start = node.inputs[0]
        inner = producer(start, "Reshape")
        while inner is not None:
            start = inner.inputs[0]
            inner = producer(start, "Reshape")
        if start is not None and same_shape(start, node.outputs[0]):
            editor.redirect(node.outputs[0], start)
        elif start is not node.inputs[0] and _reads_alike(node, start):
            node.replace_input_with(0, start)
    editor.drop_unused()


def products_to_matmul(editor: Editor, *, keep_tied: bool = False) -> None:
    """Gemm and FusedMatMul with a constant weight become MatMul, and Add for a bias; transposes go into the weight.

    With ``keep_tied``, a product with a transposed weight that a Gather reads, too, is left alone.
    """
    transposed: dict[ir.Value, ir.Value] = {}
    for node in nodes_of(editor.graph, "Gemm", "FusedMatMul"):
        weight = node.inputs[1]
        if weight is None or not weight.is_initializer() or not _is_plain_product(node):
            continue
        if attribute(node, "transB", 0):
            if keep_tied and any(use.node.op_type == "Gather" for use in weight.uses()):
                continue
            if weight not in transposed:
                transposed[weight] = editor.transposed(weight, f"{weight.name}_transposed")
            weight = transposed[weight]
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is None:
            editor.replace(node, "MatMul", [node.inputs[0], weight])
        else:
            product = editor.before(node, "MatMul", [node.inputs[0], weight])
            editor.replace(node, "Add", [product, bias])


def name_dimensions(graph: ir.Graph, layout: GraphLayout) -> None:
    """Names the dynamic dimensions as they are declared."""
    for value in (*graph.inputs, *graph.outputs):
        assert value.shape is not None
        port = port_of(layout, str(value.name))
        assert port is not None, f"{value.name} is not declared"
        sizes = zip(port.of_equal_rows.symbols, value.shape, strict=True)
        value.shape = ir.Shape([name if name is not None else int(size) for name, size in sizes])


def strip_metadata(model: ir.Model) -> None:
    """Drops what the tracer wrote down about itself: half of a small graph, with paths of the machine it ran on."""
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for output in node.outputs:
            output.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.doc_string = model.doc_string = None


def _reads_alike(reshape: ir.Node, start: ir.Value | None) -> bool:
    """Whether a Reshape means the same on ``start`` as on its input, whose sizes a zero in its target copies."""
    target, old = constant_of(reshape.inputs[1]), reshape.inputs[0]
    if target is None:  # computed from sizes, which are never zero to copy
        return bool(attribute(reshape, "allowzero", 0))
    copies = [axis for axis, size in enumerate(target) if size == 0 and not attribute(reshape, "allowzero", 0)]
    if not copies:
        return True
    if start is None or old is None or start.shape is None or old.shape is None or len(start.shape) <= max(copies):
        return False
    return all(same_size(start.shape[axis], old.shape[axis]) for axis in copies)


def _is_plain_product(node: ir.Node) -> bool:
    if any(attribute(node, name, 0) for name in ("transA", "transBatchA", "transBatchB")):
        return False
    return bool(attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0)
