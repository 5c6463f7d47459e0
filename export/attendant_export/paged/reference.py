"""PagedAttention in standard ONNX operators, so that a graph for NVIDIA GPUs runs, slowly and exactly, on a CPU.

ONNX Runtime has the operator for CUDA only. Every node of it is renamed to a function of the model's own, which does
the same; the rest of the graph stays what it is, but for sums that a CPU has in float32 only. Verification, tests and
dry runs lean on it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from attendant_export.graph.nodes import Editor, attribute, nodes_of
from attendant_export.paged.function import DOMAIN, PagedAttentionSpec, paged_attention

_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def to_reference(model: ir.Model) -> ir.Model:
    """Puts a function of the same meaning in the place of every PagedAttention node, in place; returns the model."""
    functions: dict[PagedAttentionSpec, ir.Function] = {}
    for node in nodes_of(model.graph, "PagedAttention"):
        spec = PagedAttentionSpec.of(node)
        if spec not in functions:
            functions[spec] = paged_attention(spec, f"PagedAttention_{len(functions)}")
            model.functions[functions[spec].identifier()] = functions[spec]
        node.domain, node.op_type = DOMAIN, functions[spec].name
        node.attributes.clear()
    model.opset_imports[DOMAIN] = 1
    _scatter_wide(model.graph)
    return model


def _scatter_wide(graph: ir.Graph) -> None:
    """Sums that ScatterND makes of float16 are made of float32: mixtures of experts gather their answers so."""
    editor = Editor(graph)
    for node in nodes_of(graph, "ScatterND"):
        data, indices, updates = node.inputs
        reduction = attribute(node, "reduction", "none")
        if reduction == "none" or data is None or data.dtype != ir.DataType.FLOAT16:
            continue
        wide = [editor.before(node, "Cast", [value], to=int(ir.DataType.FLOAT)) for value in (data, updates)]
        total = editor.before(node, "ScatterND", [wide[0], indices, wide[1]], reduction=reduction)
        editor.replace(node, "Cast", [total], to=int(ir.DataType.FLOAT16))


def widen(model: ir.Model) -> ir.Model:
    """Turns every float16 and bfloat16 of a graph into float32, in place: the weights keep their rounded values.

    ONNX Runtime's CPU provider has next to no kernels for bfloat16.
    """
    for initializer in model.graph.initializers.values():
        if initializer.dtype in _HALVES:
            assert initializer.const_value is not None
            wide = initializer.const_value.numpy().astype(np.float32)
            initializer.const_value = ir.Tensor(wide, name=initializer.name)
    for node in model.graph:
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.dtype in _HALVES:
                value.dtype = ir.DataType.FLOAT
        for name, given in list(node.attributes.items()):
            if name == "to" and given.value in _HALVES:
                node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))
            elif given.type == ir.AttributeType.TENSOR and given.value.dtype in _HALVES:
                node.attributes[name] = ir.AttrTensor(name, ir.Tensor(given.value.numpy().astype(np.float32)))
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.dtype in _HALVES:
            value.dtype = ir.DataType.FLOAT
    return model
