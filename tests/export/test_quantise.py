"""Quantised weights: exact formats, small errors, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from attendant.bundle import read_manifest
from attendant_export.quantise import BLOCK, int4_blocks, int8_columns, quantise

from tests.bundles import make_llama_bundle
from tests.export.architectures import build
from tests.export.measure import Subject

WEIGHT = np.random.default_rng(0).standard_normal((80, 48)).astype(np.float32)


def test_int8_is_within_half_a_step_of_each_column() -> None:
    values, scales = int8_columns(WEIGHT)
    assert values.shape == WEIGHT.shape
    assert np.abs(values).max(axis=0).tolist() == [127] * 48
    assert (np.abs(values * scales - WEIGHT) <= scales / 2 * 1.0001).all()


def test_int8_of_a_zero_column_is_zero() -> None:
    values, scales = int8_columns(np.zeros((4, 2), np.float32))
    assert not values.any()
    assert (scales > 0).all()


def test_int4_is_within_a_step_of_each_block() -> None:
    packed, scales = int4_blocks(WEIGHT)
    blocks = -(-80 // BLOCK)
    assert packed.shape == (48, blocks, BLOCK // 2)
    assert packed.dtype == np.uint8
    values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(48, blocks, BLOCK).astype(np.float32) - 8
    found = (values * scales[..., None]).reshape(48, -1)[:, :80].T
    step = np.repeat(np.abs(scales), BLOCK, axis=1)[:, :80].T
    assert (np.abs(found - WEIGHT) <= step * 1.0001).all()  # the end opposite to the peak is cut by up to one step


def test_int4_of_a_zero_block_is_zero() -> None:
    packed, scales = int4_blocks(np.zeros((BLOCK, 1), np.float32))
    assert (packed == 0x88).all()
    assert not scales.any()


@pytest.mark.parametrize("name", ["llama", "gpt2", "llama/tied", "phi"])
def test_every_weight_is_quantised(name: str, tmp_path: Path) -> None:
    plain = Subject(build(name), tmp_path)
    weights = [node for node in plain.graph if node.op_type == "MatMul"]
    for precision, product in (("int8", "MatMulIntegerToFloat"), ("int4", "MatMulNBits")):
        ops = [node.op_type for node in plain.at(precision).graph]
        assert ops.count(product) == len(weights)
        assert not {"MatMul", "Gemm", "FusedMatMul"} & set(ops)


def test_a_row_of_zeros_gives_zeros_and_disturbs_no_other() -> None:
    spec = [("x", ["rows", 80]), ("y", ["rows", 48])]
    x, y = (ir.val(name, ir.DataType.FLOAT, shape) for name, shape in spec)
    weight = ir.Value(name="w", const_value=ir.tensor(WEIGHT), shape=ir.Shape(WEIGHT.shape))
    weight.type = ir.TensorType(ir.DataType.FLOAT)
    node = ir.Node("", "MatMul", [x, weight], outputs=[y])
    graph = ir.Graph([x], [y], nodes=[node], initializers=[weight], opset_imports={"": 21, "com.microsoft": 1})
    model = ir.Model(graph, ir_version=10)
    assert quantise(model, "int8") == 1
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(1).standard_normal((3, 80)).astype(np.float32)
    alone = session.run(None, {"x": rows[2:]})[0]
    rows[1] = 0
    found = session.run(None, {"x": rows})[0]
    assert not found[1].any()
    assert np.array_equal(found[2], alone[0])
    assert np.abs(found - rows @ WEIGHT).max() < 0.2


def test_products_of_one_input_share_its_quantisation(tmp_path: Path) -> None:
    graph = Subject(build("llama/head12"), tmp_path).at("int8").graph
    readers = [node.inputs[0] for node in graph if node.op_type == "MatMulIntegerToFloat"]
    assert sum(node.op_type == "QuantizeLinear" for node in graph) == len(set(readers))


def test_routers_keep_their_precision_and_experts_do_not(tmp_path: Path) -> None:
    plain = Subject(build("mixtral"), tmp_path)
    for precision in ("int8", "int4"):
        left = [node for node in plain.at(precision).graph if node.op_type == "MatMul"]
        assert len(left) == 2  # one router a layer
        assert all(node.inputs[1].shape[-1] == 4 for node in left)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_bundle_is_smaller_and_still_close(precision: str, tmp_path: Path) -> None:
    """int8 takes a quarter of the weights; int4 near an eighth of all but the embedding."""
    plain = read_manifest(make_llama_bundle(tmp_path / "fp32", "fp32"))
    small = read_manifest(make_llama_bundle(tmp_path / precision, precision))
    assert small.precision == precision
    data = "decoder.onnx.data"
    assert small.files[data].size < plain.files[data].size * {"int8": 0.3, "int4": 0.25}[precision]
    assert small.parity.cosine > {"int8": 0.99, "int4": 0.85}[precision]
    assert plain.parity.max_abs_error < 1e-4
    assert plain.parity.greedy_agreement == 1.0
