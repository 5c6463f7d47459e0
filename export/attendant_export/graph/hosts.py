"""Passes for graphs that run on processors, where some of ONNX Runtime's kernels have slow and fast ways."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from attendant_export.graph.nodes import Editor, attribute, nodes_of
from attendant_export.quantisation.folding import apply_edits, scaled

_NORMS = {
    "SkipLayerNormalization": "LayerNormalization",
    "SkipSimplifiedLayerNormalization": "SimplifiedLayerNormalization",
}
_SUM = 3  # which output of a fused node is the sum
_PAST_KEYS = 3  # which input of an attention node


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
        edits = scaled(query, float(scale), (0, attribute(node, "num_heads", 0) * head_size) if packed else None)
        if edits is not None:
            apply_edits(editor, edits, "scaled")
        elif not packed:
            factor = editor.constant(np.array(scale, np.float32), "query_scale")
            node.replace_input_with(0, editor.before(node, "Mul", [query, factor]))
        else:
            continue
        node.attributes["scale"] = ir.AttrFloat32("scale", 1.0)
    editor.drop_unused()
