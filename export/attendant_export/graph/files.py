"""The files of a bundle's graphs: how they are called, how they are written, and what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir
from attendant.bundle import DType, Graph, TensorSpec

_WEIGHTS_BESIDE = ("decoder", "encoder", "prompt")
_DTYPES: dict[ir.DataType, DType] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.FLOAT16: "float16",
    ir.DataType.BFLOAT16: "bfloat16",
    ir.DataType.INT8: "int8",
    ir.DataType.FLOAT8E4M3FN: "float8e4m3fn",
    ir.DataType.INT32: "int32",
    ir.DataType.INT64: "int64",
}


def file_of(name: str) -> str:
    """The file of the graph ``name``."""
    return f"{name}.onnx"


def save_graphs(graphs: Mapping[str, ir.Model], folder: Path) -> dict[str, Graph]:
    """Writes graphs, by name, the weights of large ones into a file beside each; returns their manifest entries."""
    for name, model in graphs.items():
        file = file_of(name)
        ir.save(model, folder / file, external_data=f"{file}.data" if name in _WEIGHTS_BESIDE else None)
    return {name: describe(model.graph, file_of(name)) for name, model in graphs.items()}


def describe(graph: ir.Graph, file: str) -> Graph:
    """The manifest entry of a graph."""

    def spec(value: ir.Value) -> TensorSpec:
        assert value.name is not None
        assert value.shape is not None
        assert value.dtype is not None
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        return TensorSpec(name=value.name, dtype=_DTYPES[value.dtype], shape=shape)

    return Graph(file=file, inputs=tuple(map(spec, graph.inputs)), outputs=tuple(map(spec, graph.outputs)))
