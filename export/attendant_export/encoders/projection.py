"""The graph that follows pooling: the Dense modules of sentence-transformers."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch

from attendant_export.errors import failures_of
from attendant_export.graph.nodes import Editor
from attendant_export.graph.passes import products_to_matmul, strip_metadata
from attendant_export.tracing.trace import trace_to_onnx

_ROWS = 3


def projection_model(module: torch.nn.Module) -> ir.Model:
    """A graph from ``pooled`` [num_rows, hidden] float32 to ``embedding`` [num_rows, dimensions] float32."""
    linear: Any = next(part for part in module.modules() if isinstance(part, torch.nn.Linear))
    sample = torch.zeros(_ROWS, linear.in_features)
    with failures_of("Dense"):
        shapes = ({0: torch.export.Dim("num_rows")},)
        model = trace_to_onnx(module.eval(), (sample,), shapes, ["pooled"], ["embedding"])
    products_to_matmul(Editor(model.graph))
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        value.shape = ir.Shape(["num_rows", value.shape[-1]])
    strip_metadata(model)
    return model
