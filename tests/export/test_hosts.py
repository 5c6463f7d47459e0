"""Passes for processors: where the scale of attention scores goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from attendant_export.graph.hosts import scale_queries
from attendant_export.graph.nodes import Editor, attribute, nodes_of

from tests.export.architectures import build
from tests.export.measure import Subject

HEADS, SIZE = 2, 8


def _attention(query: ir.Value, others: list[ir.Value | None]) -> ir.Node:
    past = [ir.val(name, ir.DataType.FLOAT, ["batch", HEADS, "max", SIZE]) for name in ("past_key_0", "past_value_0")]
    attributes = {"num_heads": HEADS, "kv_num_heads": HEADS, "scale": 0.5}
    return ir.node("GroupQueryAttention", [query, *others, *past], attributes, domain="com.microsoft")


def _constant(array: np.ndarray, name: str) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    return ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)


def _graph(nodes: list[ir.Node], inputs: list[ir.Value], constants: list[ir.Value]) -> ir.Graph:
    outputs = list(nodes[-1].outputs)
    outputs[0].name = "y"
    return ir.Graph(inputs, outputs, nodes=nodes, initializers=constants, opset_imports={"": 21}, name="g")


def _scale_of(graph: ir.Graph) -> float:
    return float(attribute(nodes_of(graph, "GroupQueryAttention")[0], "scale", 0.0))


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "falcon", "gemma2", "phi", "diffllama"])
def test_no_attention_of_a_model_scales(name: str, tmp_path: Path) -> None:
    nodes = nodes_of(Subject(build(name), tmp_path).graph, "GroupQueryAttention")
    assert nodes
    assert {attribute(node, "scale", 0.0) for node in nodes} == {1.0}


def test_only_the_queries_of_a_packed_product_are_scaled() -> None:
    x, weight = ir.val("x", ir.DataType.FLOAT, ["b", "s", 4]), np.ones((4, 3 * HEADS * SIZE), np.float32)
    bias = np.arange(3 * HEADS * SIZE, dtype=np.float32)
    constants = [_constant(weight, "w"), _constant(bias, "b")]
    product = ir.node("MatMul", [x, constants[0]])
    total = ir.node("Add", [product.outputs[0], constants[1]])
    graph = _graph([product, total, _attention(total.outputs[0], [None, None])], [x], constants)
    scale_queries(Editor(graph))
    assert _scale_of(graph) == 1
    made = {name: value.const_value.numpy() for name, value in graph.initializers.items()}
    assert set(made) == {"w_scaled", "b_scaled"}
    queries = HEADS * SIZE
    assert (made["w_scaled"][:, :queries] == 0.5).all()
    assert (made["w_scaled"][:, queries:] == 1).all()
    assert np.array_equal(made["b_scaled"], np.concatenate([bias[:queries] * np.float32(0.5), bias[queries:]]))


def test_queries_from_elsewhere_are_scaled_before_the_node() -> None:
    x = [ir.val(name, ir.DataType.FLOAT, ["b", "s", HEADS * SIZE]) for name in "qkv"]
    wild = ir.node("Tanh", [x[0]])
    graph = _graph([wild, _attention(wild.outputs[0], [x[1], x[2]])], x, [])
    scale_queries(Editor(graph))
    assert _scale_of(graph) == 1
    assert [node.op_type for node in graph] == ["Tanh", "Mul", "GroupQueryAttention"]


def test_packed_queries_from_elsewhere_keep_their_scale() -> None:
    x = ir.val("x", ir.DataType.FLOAT, ["b", "s", 3 * HEADS * SIZE])
    wild = ir.node("Tanh", [x])
    graph = _graph([wild, _attention(wild.outputs[0], [None, None])], [x], [])
    scale_queries(Editor(graph))
    assert _scale_of(graph) == 0.5


def test_a_product_that_something_else_reads_is_left_alone() -> None:
    x = ir.val("x", ir.DataType.FLOAT, ["b", "s", 4])
    others = [ir.val(name, ir.DataType.FLOAT, ["b", "s", HEADS * SIZE]) for name in "kv"]
    weight = _constant(np.ones((4, HEADS * SIZE), np.float32), "w")
    product = ir.node("MatMul", [x, weight])
    gate = ir.node("Sigmoid", [product.outputs[0]])
    graph = _graph([product, gate, _attention(product.outputs[0], list(others))], [x, *others], [weight])
    graph.outputs.append(gate.outputs[0])
    scale_queries(Editor(graph))
    assert _scale_of(graph) == 1
    assert nodes_of(graph, "GroupQueryAttention")[0].inputs[0].producer().op_type == "Mul"
    assert set(graph.initializers) == {"w", "query_scale"}
