"""Graphs for NVIDIA GPUs hold nothing that the CUDA provider lacks or cannot replay, and mean what they meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

ir = pytest.importorskip("onnx_ir", reason="the exporter is not installed")

import onnxruntime as ort  # noqa: E402
from attendant.bundle import PAGED_RUN_TOKENS  # noqa: E402
from attendant_export.graph.cuda import fit_cuda  # noqa: E402
from attendant_export.graph.nodes import Editor  # noqa: E402
from attendant_export.paged.reference import widen  # noqa: E402

BFLOAT16, FLOAT = ir.DataType.BFLOAT16, ir.DataType.FLOAT


def graph_of(inputs: list[Any], nodes: list[Any], outputs: list[Any], constants: dict[Any, Any]) -> Any:
    for value, array in constants.items():
        value.const_value = ir.Tensor(array, name=value.name)
    opsets = {"": 21, "com.microsoft": 1}
    return ir.Graph(inputs, outputs, nodes=nodes, initializers=list(constants), opset_imports=opsets, name="g")


def ops(graph: Any) -> list[str]:
    return [node.op_type for node in graph]


def run(graph: Any, **feeds: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """On a CPU, in float32."""
    model = widen(ir.Model(graph, ir_version=10))
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[npt.NDArray[Any]] = session.run(None, feeds)
    return found


def constant(name: str, array: npt.NDArray[Any]) -> Any:
    return ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.from_numpy(array.dtype)))


@pytest.mark.parametrize(("sizes", "is_cut"), [((4, 2, 2), True), ((4, 4), False)])
def test_a_split_into_unequal_parts_becomes_slices(sizes: tuple[int, ...], is_cut: bool) -> None:
    x = ir.val("x", BFLOAT16, ["rows", 8])
    lengths = np.array(sizes, np.int64)
    splits = constant("splits", lengths)
    node = ir.node("Split", [x, splits], {"axis": -1}, num_outputs=len(sizes))
    for index, (output, size) in enumerate(zip(node.outputs, sizes, strict=True)):
        output.name, output.dtype, output.shape = f"part_{index}", BFLOAT16, ir.Shape(["rows", size])
    graph = graph_of([x], [node], list(node.outputs), {splits: lengths})
    fit_cuda(Editor(graph))
    assert ops(graph) == (["Slice"] * len(sizes) if is_cut else ["Split"])
    assert [output.name for output in graph.outputs] == [f"part_{index}" for index in range(len(sizes))]
    data = np.arange(24, dtype=np.float32).reshape(3, 8)
    for found, wanted in zip(run(graph, x=data), np.split(data, np.cumsum(sizes)[:-1], axis=1), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_what_has_no_kernel_for_bfloat16_computes_in_float32() -> None:
    x = ir.val("x", BFLOAT16, ["rows", 4])
    bound, pads = np.array(0.5, np.float32), np.array([0, 0, 0, 2], np.int64)
    limit, widths = constant("limit", bound), constant("pads", pads)
    narrow = ir.node("Cast", [limit], {"to": int(BFLOAT16)})
    padded = ir.node("Pad", [x, widths])
    greater = ir.node("Greater", [padded.outputs[0], narrow.outputs[0]])
    zero = ir.node("Where", [greater.outputs[0], padded.outputs[0], narrow.outputs[0]])
    for node, name, dtype in (
        (narrow, "narrow", BFLOAT16),
        (padded, "padded", BFLOAT16),
        (greater, "greater", ir.DataType.BOOL),
        (zero, "y", BFLOAT16),
    ):
        node.outputs[0].name, node.outputs[0].dtype = name, dtype
    zero.outputs[0].shape = ir.Shape(["rows", 6])
    graph = graph_of([x], [narrow, padded, greater, zero], [zero.outputs[0]], {limit: bound, widths: pads})
    fit_cuda(Editor(graph))
    for node in graph:
        if node.op_type in ("Pad", "Greater"):
            assert all(value.dtype != BFLOAT16 for value in node.inputs), node
        if node.op_type == "Where":
            assert [value.dtype for value in node.inputs] == [ir.DataType.BOOL, BFLOAT16, BFLOAT16]
    data = np.array([[0.25, 1, -1, 2]], np.float32)
    np.testing.assert_array_equal(run(graph, x=data)[0], [[0.5, 1, 0.5, 2, 0.5, 0.5]])


@pytest.mark.parametrize("wide", ["x", "scale"])
def test_a_norm_of_mixed_types_computes_in_float32(wide: str) -> None:
    x = ir.val("x", FLOAT if wide == "x" else BFLOAT16, ["rows", 4])
    scale = ir.val("scale", FLOAT if wide == "scale" else BFLOAT16, [4])
    node = ir.node("SimplifiedLayerNormalization", [x, scale], {"axis": -1, "epsilon": 1e-5})
    after = ir.node("Identity", [node.outputs[0]])
    node.outputs[0].name, node.outputs[0].dtype = "normed", scale.dtype
    after.outputs[0].name, after.outputs[0].dtype, after.outputs[0].shape = "y", scale.dtype, ir.Shape(["rows", 4])
    graph = graph_of([x, scale], [node, after], [after.outputs[0]], {})
    fit_cuda(Editor(graph))
    assert [value.dtype for value in node.inputs] == [FLOAT, FLOAT]
    assert after.inputs[0].dtype == scale.dtype
    data, weights = np.array([[1, 2, 3, 4]], np.float32), np.array([1, 2, 1, 2], np.float32)
    wanted = data / np.sqrt((data**2).mean() + 1e-5) * weights
    np.testing.assert_allclose(run(graph, x=data, scale=weights)[0], wanted, rtol=1e-6)


def test_rotary_tables_have_a_row_for_every_token_of_a_run() -> None:
    x, positions = ir.val("x", FLOAT, [1, "tokens", 8]), ir.val("positions", ir.DataType.INT64, [1, "tokens"])
    angles = np.arange(5)[:, None] * np.array([1.0, 0.1])
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    tables = constant("cos", cos), constant("sin", sin)
    attributes = {"num_heads": 2, "rotary_embedding_dim": 4}
    node = ir.node("RotaryEmbedding", [x, positions, *tables], attributes, domain="com.microsoft")
    node.outputs[0].name, node.outputs[0].dtype, node.outputs[0].shape = "y", FLOAT, ir.Shape([1, "tokens", 8])
    graph = graph_of([x, positions], [node], [node.outputs[0]], dict(zip(tables, (cos, sin), strict=True)))
    fit_cuda(Editor(graph))
    assert [value.shape[0] for value in node.inputs[2:]] == [PAGED_RUN_TOKENS] * 2
    tokens = np.random.default_rng(0).normal(size=(1, 9, 2, 4)).astype(np.float32)
    places = np.array([[0, 1, 2, 3, 4, 0, 4, 2, 1]])
    c, s = cos[places][:, :, None], sin[places][:, :, None]
    first, second = tokens[..., :2], tokens[..., 2:]
    wanted = np.concatenate([first * c - second * s, second * c + first * s], axis=-1).reshape(1, 9, 8)
    found = run(graph, x=tokens.reshape(1, 9, 8), positions=places)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
