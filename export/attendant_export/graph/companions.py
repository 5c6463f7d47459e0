"""Small graphs beside a paged decoder, for what the host needs done to memory of the device."""

from __future__ import annotations

import onnx_ir as ir

OPSET = 21


def copy_blocks_model(num_tensors: int) -> ir.Model:
    """Block ``target[i]`` of every cache becomes what block ``source[i]`` was before the run.

    Inputs: ``source`` and ``target`` [num_copies] int64; ``cache_{i}`` [num_blocks, words] int64, any cache read as
    whole words. Outputs: ``copied_{i}``, to be bound to the memory of ``cache_{i}``, so that only blocks are moved.
    """
    source = ir.val("source", ir.DataType.INT64, ["num_copies"])
    target = ir.val("target", ir.DataType.INT64, ["num_copies"])
    axis = ir.Value(name="axis", const_value=ir.tensor([1], dtype=ir.DataType.INT64, name="axis"))
    rows = ir.node("Unsqueeze", [target, axis], name="rows")
    nodes, caches, copies = [rows], [], []
    for index in range(num_tensors):
        cache = ir.val(f"cache_{index}", ir.DataType.INT64, ["num_blocks", f"words_{index}"])
        taken = ir.node("Gather", [cache, source], {"axis": 0}, name=f"take_{index}")
        put = ir.node("ScatterND", [cache, rows.outputs[0], taken.outputs[0]], name=f"put_{index}")
        copied = put.outputs[0]
        copied.name, copied.type, copied.shape = f"copied_{index}", cache.type, cache.shape
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
    """Some rows of ``logits`` [num_logits, vocab_size] of the decoder's type, widened for the host.

    Inputs: ``logits``; ``rows`` [num_rows] int64. Output: ``picked`` [num_rows, vocab_size] float32.
    """
    assert logits.shape is not None
    assert logits.dtype is not None
    source = ir.val("logits", logits.dtype, ["num_logits", logits.shape[1]])
    rows = ir.val("rows", ir.DataType.INT64, ["num_rows"])
    taken = ir.node("Gather", [source, rows], {"axis": 0}, name="take")
    wide = ir.node("Cast", [taken.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name="widen")
    picked = wide.outputs[0]
    picked.name, picked.type = "picked", ir.TensorType(ir.DataType.FLOAT)
    picked.shape = ir.Shape(["num_rows", logits.shape[1]])
    graph = ir.Graph([source, rows], [picked], nodes=[taken, wide], opset_imports={"": OPSET}, name="pick_rows")
    return ir.Model(graph, ir_version=10)
