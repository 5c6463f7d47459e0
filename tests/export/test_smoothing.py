"""What is done to activations before they are quantised: exact where it should be, and worth it where it is done."""

# numpy's types tell float32 from float64, and packed bytes from what they hold, where these tests do not.
# mypy: disable-error-code="arg-type, operator, list-item"

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import pytest
from attendant_export.graph.nodes import Editor, nodes_of
from attendant_export.quantisation.activations import Activations
from attendant_export.quantisation.blocks import BlockFormat, quantise_blocks
from attendant_export.quantisation.errors import RowFormat, Trial
from attendant_export.quantisation.folding import apply_edits, scaled
from attendant_export.quantisation.plan import Quantised
from attendant_export.quantisation.products import product_groups
from attendant_export.quantisation.quantise import quantise
from attendant_export.quantisation.rotation import Rotator, block_of, hadamard, rotated_weight
from attendant_export.quantisation.rounding import round_together
from attendant_export.quantisation.smoothing import find_remedy

from tests.export.architectures import build
from tests.export.measure import Subject
from tests.export.shapes import VOCAB

Floats = npt.NDArray[np.float32]

CHANNELS, INNER, OUTPUTS, OUTLIER = 96, 128, 64, 7
RNG = np.random.default_rng(5)
NORM = RNG.uniform(0.5, 1.5, CHANNELS).astype(np.float32)
UP, GATE = (RNG.standard_normal((CHANNELS, INNER)).astype(np.float32) / 10 for _ in range(2))
DOWN = RNG.standard_normal((INNER, OUTPUTS)).astype(np.float32) / 10


def _mlp(norm: Floats = NORM) -> ir.Model:
    """A norm and a gated MLP, x [rows, 96] -> y [rows, 64]."""
    x = ir.val("x", ir.DataType.FLOAT, ["rows", CHANNELS])
    y = ir.val("y", ir.DataType.FLOAT, ["rows", OUTPUTS])

    def constant(name: str, array: Floats) -> ir.Value:
        value = ir.Value(name=name, const_value=ir.tensor(array), shape=ir.Shape(array.shape))
        value.type = ir.TensorType(ir.DataType.FLOAT)
        return value

    constants = [constant(*pair) for pair in (("norm", norm), ("gate", GATE), ("up", UP), ("down", DOWN))]
    weight, gate, up, down = constants

    def node(
        op: str, inputs: list[ir.Value], width: int, output: ir.Value | None = None, **attributes: Any
    ) -> ir.Value:
        made = output or ir.val(op.lower() + str(len(nodes)), ir.DataType.FLOAT, ["rows", width])
        nodes.append(ir.node(op, inputs, attributes, outputs=[made], name=str(made.name)))
        return made

    nodes: list[ir.Node] = []
    normed = node("SimplifiedLayerNormalization", [x, weight], CHANNELS, axis=-1, epsilon=1e-6)
    gated = node("MatMul", [normed, gate], INNER)
    open_ = node("Mul", [gated, node("Sigmoid", [gated], INNER)], INNER)
    node("MatMul", [node("Mul", [open_, node("MatMul", [normed, up], INNER)], INNER), down], OUTPUTS, y)
    graph = ir.Graph([x], [y], nodes=nodes, initializers=constants, opset_imports={"": 21, "com.microsoft": 1})
    return ir.Model(graph, ir_version=10)


def _run(model: ir.Model, rows: Floats) -> Floats:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found: Floats = session.run(None, {"x": rows})[0]
    return found


def _rows(count: int, seed: int) -> Floats:
    """Rows with a channel that is fifty times as large as the others, as trained models have them."""
    rows = np.random.default_rng(seed).standard_normal((count, CHANNELS)).astype(np.float32)
    rows[:, OUTLIER] *= 50
    return rows


def test_channels_move_from_a_norm_and_from_a_gated_pair_into_the_weights_without_a_trace() -> None:
    model, rows = _mlp(), _rows(9, 0)
    wanted = _run(model, rows)
    editor = Editor(model.graph)
    for group in product_groups(model.graph):
        factor = np.random.default_rng(1).uniform(0.2, 5, group.channels).astype(np.float32)
        edits = scaled(group.value, 1 / factor, readers=len(group.nodes))
        assert edits is not None, group.role
        apply_edits(editor, edits, "smoothed")
        for node in group.nodes:
            weight = node.inputs[1].const_value.numpy() * factor[:, None]
            node.replace_input_with(1, editor.constant(weight, "smoothed"))
    assert np.allclose(_run(model, rows), wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_a_value_that_others_read_too_is_not_scaled() -> None:
    model = _mlp()
    groups = product_groups(model.graph)
    assert scaled(groups[0].value, np.ones(CHANNELS, np.float32), readers=1) is None
    assert scaled(model.graph.inputs[0], np.ones(CHANNELS, np.float32)) is None


def test_a_rotation_is_undone_by_the_weights() -> None:
    model, rows = _mlp(), _rows(5, 2)
    wanted = _run(model, rows)
    editor = Editor(model.graph)
    rotator = Rotator(editor)
    for group in product_groups(model.graph):
        block = block_of(group.channels)
        turned = rotator.rotate(group.nodes[0], group.value, block)
        for node in group.nodes:
            array = node.inputs[1].const_value.numpy()
            node.replace_input_with(1, editor.constant(rotated_weight(array, block), "rotated"))
            node.replace_input_with(0, turned)
    assert np.allclose(_run(model, rows), wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("block", [1, 2, 8, 32])
def test_rotations_are_symmetric_and_orthogonal(block: int) -> None:
    matrix = hadamard(block)
    assert np.array_equal(matrix, matrix.T)
    assert np.allclose(matrix @ matrix, np.eye(block), atol=1e-6)
    assert np.allclose(np.abs(matrix), block**-0.5)


def test_blocks_of_rotations_divide_the_channels() -> None:
    assert [block_of(channels) for channels in (576, 1536, 96, 40, 33)] == [32, 32, 32, 8, 1]


def test_samples_show_what_flows_and_leave_the_graph_as_it_was() -> None:
    model = _mlp()
    before = ir.to_proto(model).SerializeToString()
    groups = product_groups(model.graph)
    values = [group.value for group in groups]
    runs = [{"x": _rows(40, seed)} for seed in (3, 4)]
    flows = Activations(model, runs, values).of(values, gram=True)
    assert ir.to_proto(model).SerializeToString() == before
    assert not any(value.is_graph_output() for value in values)
    plain = np.concatenate([run["x"] for run in runs])
    normed = plain / np.sqrt((plain**2).mean(-1, keepdims=True) + 1e-6) * NORM
    flow = flows[values[0]]
    assert np.allclose(flow.peaks, np.abs(normed).max(0), rtol=1e-5)
    assert np.allclose(flow.gram, normed.T @ normed / 80, rtol=1e-3, atol=1e-4)
    assert flow.rows.shape == (80, CHANNELS)


@pytest.mark.parametrize("precision", ["int8", "int8_blocks", "int4", "int4_small"])
def test_outliers_cost_little_once_samples_have_shown_them(precision: str) -> None:
    def error(samples: list[dict[str, Floats]]) -> float:
        model, rows = _mlp(), _rows(200, 11)
        wanted = _run(model, rows)
        quantise(model, precision, samples)  # type: ignore[arg-type]
        return float(np.linalg.norm(_run(model, rows) - wanted) / np.linalg.norm(wanted))

    blind, seeing = error([]), error([{"x": _rows(400, seed)} for seed in (8, 9)])
    assert seeing < blind * (0.7 if precision == "int8" else 1), (blind, seeing)


def test_where_nothing_is_large_nothing_is_rotated() -> None:
    rows = np.random.default_rng(0).standard_normal((300, CHANNELS)).astype(np.float32)
    remedy = find_remedy(Trial(rows, [UP], RowFormat()), np.abs(rows).max(0), foldable=True, rotation=32)
    assert remedy.rotation == 1


def test_what_wanders_between_channels_is_rotated() -> None:
    rows = np.random.default_rng(0).standard_normal((300, CHANNELS)).astype(np.float32)
    rows[np.arange(300), np.random.default_rng(1).integers(0, CHANNELS, 300)] *= 40
    remedy = find_remedy(Trial(rows, [UP], RowFormat()), np.abs(rows).max(0), foldable=True, rotation=32)
    assert remedy.rotation == 32
    assert remedy.error < 0.5


def test_a_trial_measures_what_the_kernels_do() -> None:
    rows = _rows(64, 6)
    model = _mlp()
    group = product_groups(model.graph)[0]
    trial = Trial(rows, [UP], RowFormat())
    scale = np.abs(rows).max(-1, keepdims=True) / 127
    steps = np.abs(UP).max(0) / 127
    found = (np.rint(rows / scale) * scale) @ (np.rint(UP / steps) * steps)
    wanted = rows @ UP
    assert trial.error() == pytest.approx(float(((found - wanted) ** 2).mean() / (wanted**2).mean()), rel=0.02)
    assert group.role == "other"


def test_rounding_together_beats_rounding_to_the_nearest() -> None:
    form = BlockFormat(4, 32, zeros=True)
    mixing = np.random.default_rng(2).standard_normal((CHANNELS, CHANNELS)).astype(np.float32)
    rows = (np.random.default_rng(3).standard_normal((600, CHANNELS)) @ mixing).astype(np.float32)
    together = round_together(UP, rows[:400].T @ rows[:400] / 400, form)
    assert together is not None

    def error(values: Floats, scales: Floats, zeros: Floats) -> float:
        pairs = np.stack([values & 15, values >> 4], -1).reshape(INNER, -1, 32).astype(np.float32)
        points = np.stack([zeros & 15, zeros >> 4], -1).reshape(INNER, -1)[:, : scales.shape[1]].astype(np.float32)
        weight = ((pairs - points[..., None]) * scales[..., None]).reshape(INNER, -1)[:, :CHANNELS].T
        return float(np.linalg.norm(rows[400:] @ (weight - UP)))

    nearest = quantise_blocks(UP, form)
    assert nearest.zeros is not None
    assert together.zeros is not None
    far = error(nearest.values, nearest.scales, nearest.zeros)  # type: ignore[arg-type]
    assert error(together.values, together.scales, together.zeros) < 0.8 * far  # type: ignore[arg-type]


def test_a_sample_without_an_inverse_is_no_reason_to_fail() -> None:
    assert round_together(UP, np.full((CHANNELS, CHANNELS), np.nan, np.float32), BlockFormat(4, 32, zeros=True)) is None


def test_a_rotated_row_does_not_depend_on_its_company() -> None:
    model = _mlp()
    done = quantise(model, "int8", [{"x": _rows(400, 8)}])
    assert any("rotated" in sentence for sentence in done), done
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    rows = _rows(33, 12)
    alone = np.concatenate([session.run(None, {"x": row[None]})[0] for row in rows])
    for count in (2, 3, 8, 17, 33):
        assert np.array_equal(session.run(None, {"x": rows[:count]})[0], alone[:count])


@pytest.mark.parametrize("precision", ["int8", "int8_blocks", "int4"])
def test_a_table_that_is_the_head_too_is_stored_once(precision: str, tmp_path: Path) -> None:
    graph = Subject(build("llama/tied"), tmp_path).at(precision).graph
    tables = nodes_of(graph, "Gather", "GatherBlockQuantized")
    shared = [use.node.op_type for node in tables for use in node.inputs[0].uses() if use.node is not node]
    assert ("MatMulIntegerToFloat" if precision == "int8" else "MatMulNBits") in shared
    head = max(value.const_value.nbytes for value in graph.initializers.values() if value.const_value)
    assert head == VOCAB * 64  # a byte each


@pytest.mark.parametrize("precision", ["int8", "int8_blocks"])
def test_an_expert_that_no_sample_came_to_is_rounded_plainly(precision: Quantised) -> None:
    nothing = np.zeros((0, CHANNELS), np.float32)
    plain, seen, some = _mlp(), _mlp(), _mlp()
    quantise(plain, precision)
    quantise(seen, precision, [{"x": nothing}, {"x": nothing}])
    assert [node.op_type for node in seen.graph] == [node.op_type for node in plain.graph]
    quantise(some, precision, [{"x": nothing}, {"x": _rows(400, 8)}])
    left = [str(node.inputs[1].name) for node in nodes_of(some.graph, "MatMul") if node.inputs[1] is not None]
    assert all(name.startswith("rotation") for name in left)


def test_one_weight_of_several_layers_stays_one() -> None:
    model = _mlp()
    nodes = nodes_of(model.graph, "MatMul")
    nodes[1].replace_input_with(1, nodes[0].inputs[1])  # gate and up are the same now
    quantise(model, "int8", [{"x": _rows(400, 8)}])
    weights = [node.inputs[1] for node in nodes_of(model.graph, "MatMulIntegerToFloat")]
    assert len(weights) == 3
    assert len(set(weights)) == 2
