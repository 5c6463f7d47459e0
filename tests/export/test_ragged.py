"""Graphs whose rows may differ in length: what is read off the caches, and what off the tokens."""

from __future__ import annotations

import onnx_ir as ir
from attendant_export.graph.ragged import allow_ragged_rows


def test_the_tokens_batch_is_not_read_off_the_caches() -> None:
    """As in GPT-2, whose layers are viewed by the size of the batch."""
    tokens = ir.val("input_ids", ir.DataType.INT64, ["batch", "sequence"])
    past = ir.val("past_key_0", ir.DataType.FLOAT, ["batch", 2, "max_length", 8])
    hidden = ir.val("hidden", ir.DataType.FLOAT, ["batch", "sequence", 16])
    batch = ir.node("Shape", [past], attributes={"start": 0, "end": 1}, name="batch")
    length = ir.node("Shape", [past], attributes={"start": 2, "end": 3}, name="length")
    attention = ir.node("GroupQueryAttention", [hidden, hidden, hidden, past], domain="com.microsoft")
    outputs = [batch.outputs[0], length.outputs[0], attention.outputs[0]]
    graph = ir.Graph([tokens, past, hidden], outputs, nodes=[batch, length, attention], opset_imports={"": 21})
    assert allow_ragged_rows(graph)
    assert batch.inputs[0] is tokens
    assert length.inputs[0] is past
    assert past.shape is not None
    assert str(past.shape[0]) == "rows"
