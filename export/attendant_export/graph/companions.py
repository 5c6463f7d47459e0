"""Small graphs beside a paged decoder, for what the host needs done to memory of the device."""

from __future__ import annotations

import onnx_ir as ir
from attendant.bundle.graph_io import COPY_FROM, COPY_TO, COPYING, PICKED, PICKING

from attendant_export.graph.candidates import add_candidates
from attendant_export.graph.nodes import shape_of, value_of

OPSET = 21


def paged_companions(decoder: ir.Model, num_layers: int) -> dict[str, ir.Model]:
    """Adds the choice of candidates to a paged ``decoder``, in place; the graphs beside it, by name."""
    add_candidates(decoder)
    logits = next(value for value in decoder.graph.outputs if value.name == "logits")
    return {"copy_blocks": copy_blocks_model(2 * num_layers), "pick_rows": pick_rows_model(logits)}


def copy_blocks_model(num_tensors: int) -> ir.Model:
    """Block ``target[i]`` of every cache becomes what block ``source[i]`` was before the run.

    Caches are read as whole words; what comes out is to be bound to the memory of what goes in, so that only blocks are
    moved.
    """
    source, target = value_of(COPYING.source), value_of(COPYING.target)
    axis = ir.Value(name="axis", const_value=ir.tensor([1], dtype=ir.DataType.INT64, name="axis"))
    rows = ir.node("Unsqueeze", [target, axis], name="rows")
    nodes, caches, copies = [rows], [], []
    for index in range(num_tensors):
        cache = value_of(COPY_FROM.at(index))
        taken = ir.node("Gather", [cache, source], {"axis": 0}, name=f"take_{index}")
        put = ir.node("ScatterND", [cache, rows.outputs[0], taken.outputs[0]], name=f"put_{index}")
        copied = put.outputs[0]
        copied.name, copied.type, copied.shape = COPY_TO.at(index).name, cache.type, cache.shape
        nodes += [taken, put]
        caches.append(cache)
        copies.append(copied)
    graph = ir.Graph(
        [source, target, *caches],
        copies,
        nodes=nodes,
        initializers=[axis],
        opset_imports={"": OPSET},
        name="copy_blocks",
    )
    return ir.Model(graph, ir_version=10)


def pick_rows_model(logits: ir.Value) -> ir.Model:
    """Some rows of ``logits`` [num_logits, vocab_size] of the decoder's type, widened for the host."""
    assert logits.shape is not None
    assert logits.dtype is not None
    vocab_size = int(logits.shape[1])
    source, rows = value_of(PICKING.logits, logits.dtype, vocab_size=vocab_size), value_of(PICKING.rows)
    taken = ir.node("Gather", [source, rows], {"axis": 0}, name="take")
    wide = ir.node("Cast", [taken.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name="widen")
    picked = wide.outputs[0]
    picked.name, picked.type = PICKED.name, ir.TensorType(ir.DataType.FLOAT)
    picked.shape = ir.Shape(shape_of(PICKED, vocab_size=vocab_size))
    graph = ir.Graph([source, rows], [picked], nodes=[taken, wide], opset_imports={"": OPSET}, name="pick_rows")
    return ir.Model(graph, ir_version=10)
