"""The graph that follows pooling: the Dense modules of sentence-transformers."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
from attendant.bundle.graph_io import EMBEDDING, POOLED

from attendant_export.errors import failures_of
from attendant_export.graph.nodes import Editor
from attendant_export.graph.passes import products_to_matmul, strip_metadata
from attendant_export.tracing.trace import trace_to_onnx

_ROWS = 3


def projection_model(module: torch.nn.Module) -> ir.Model:
    """A graph from pooled vectors to embeddings, both float32 and one for each row."""
    linear: Any = next(part for part in module.modules() if isinstance(part, torch.nn.Linear))
    sample = torch.zeros(_ROWS, linear.in_features)
    with failures_of("Dense"):
        shapes = ({axis: torch.export.Dim(name) for axis, name in enumerate(POOLED.symbols) if name},)
        model = trace_to_onnx(module.eval(), (sample,), shapes, [POOLED.name], [EMBEDDING.name])
    products_to_matmul(Editor(model.graph))
    for value, port in zip((*model.graph.inputs, *model.graph.outputs), (POOLED, EMBEDDING), strict=True):
        assert value.shape is not None
        value.shape = ir.Shape([name or size for name, size in zip(port.symbols, value.shape, strict=True)])
    strip_metadata(model)
    return model
