"""The graph that chooses candidates, against numpy in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from attendant.core.plan import SampleOrder
from attendant.core.sampling import SamplingParams
from attendant.runtime.candidates import Candidates, choose, sampling_inputs
from attendant.runtime.sampler import sample
from attendant_export.graph.candidates import MAX_CANDIDATES, add_candidates, candidates_model

SIZES = [1, 5, 64, 200, 256, 300, 1000, 8192, 8193, 33000]
# What a CUDA graph cannot hold, or ONNX Runtime computes on the CPU, or leaves open which of equal values it takes, or
# needs cuDNN for.
BARRED = {"If", "Loop", "Scan", "NonZero", "Shape", "Size", "Range", "ConstantOfShape", "GatherND", "ArgMax", "Slice"}
BARRED |= {"MaxPool", "GlobalMaxPool", "ReduceMax"}


@cache
def session(vocab_size: int, dtype: ir.DataType = ir.DataType.FLOAT) -> ort.InferenceSession:
    proto = ir.to_proto(candidates_model(vocab_size, dtype))
    return ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


@dataclass
class Case:
    logits: np.ndarray  # [rows, V]
    inverse_temperature: np.ndarray  # [rows] float32
    uniform: np.ndarray  # [rows] float32

    def run(self, dtype: ir.DataType = ir.DataType.FLOAT) -> Candidates:
        feeds = {
            "logits": self.logits,
            "inverse_temperature": self.inverse_temperature,
            "uniform": self.uniform,
        }
        running = session(self.logits.shape[1], dtype)
        names = [output.name for output in running.get_outputs()]
        return Candidates(self.logits.shape[1], **dict(zip(names, running.run(names, feeds), strict=True)))


def make_case(vocab_size: int, rows: int = 24, spread: float = 3.0, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((rows, vocab_size)) * spread).astype(np.float32)
    temperatures = rng.choice([0.2, 0.7, 1.0, 2.0], rows)
    return Case(logits, (1 / temperatures).astype(np.float32), rng.random(rows).astype(np.float32) * np.float32(0.999))


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    peak = values.max(axis=1, keepdims=True)
    return (peak + np.log(np.exp(values - peak).sum(axis=1, keepdims=True)))[:, 0]


def check(case: Case, found: Candidates) -> None:
    """Everything the graph promises, with what it sums in float32 within 1e-5."""
    logits = case.logits.astype(np.float64)
    rows, vocab_size = logits.shape
    num_top = min(MAX_CANDIDATES, vocab_size)
    assert found.top_logits.dtype == found.log_sum.dtype == found.drawn_logit.dtype == np.float32
    assert found.top_ids.dtype == found.drawn.dtype == np.int64
    assert np.array_equal(found.top_logits, -np.sort(-logits, axis=1)[:, :num_top])
    assert np.array_equal(np.take_along_axis(logits, found.top_ids, axis=1), found.top_logits)
    assert all(len(set(ids)) == num_top for ids in found.top_ids.tolist())
    assert np.array_equal(found.top_ids[:, 0], logits.argmax(axis=1))
    scaled = logits * case.inverse_temperature[:, None]
    assert np.allclose(found.log_sum, log_sum_exp(logits), rtol=1e-6, atol=1e-5)
    assert np.allclose(found.scaled_log_sum, log_sum_exp(scaled), rtol=1e-6, atol=1e-5)
    assert np.array_equal(found.drawn_logit, logits[np.arange(rows), found.drawn])
    running = np.exp(scaled - log_sum_exp(scaled)[:, None]).cumsum(axis=1)
    for row, token in enumerate(found.drawn):
        above, below = running[row, token], running[row, token - 1] if token else 0.0
        assert above > below, "a token without weight was drawn"
        assert below * (1 - 1e-5) <= case.uniform[row] < above * (1 + 1e-5)


@pytest.mark.parametrize("vocab_size", SIZES)
def test_random_logits(vocab_size: int) -> None:
    case = make_case(vocab_size)
    check(case, case.run())


@pytest.mark.parametrize("vocab_size", [300, 33000])
@pytest.mark.parametrize("spread", [0.0, 0.01, 30.0])
def test_flat_and_peaked_logits(vocab_size: int, spread: float) -> None:
    case = make_case(vocab_size, spread=spread)
    case.logits += 500  # a sum of plain exponentials would overflow
    check(case, case.run())


@pytest.mark.parametrize("vocab_size", [200, 1000, 33000])
def test_of_equal_logits_the_first_is_first(vocab_size: int) -> None:
    case = make_case(vocab_size)
    case.logits = np.random.default_rng(1).integers(-3, 4, case.logits.shape).astype(np.float32)
    check(case, case.run())


@pytest.mark.parametrize("vocab_size", [200, 1000, 33000])
@pytest.mark.parametrize(
    ("dtype", "element"), [(ir.DataType.FLOAT16, np.float16), (ir.DataType.BFLOAT16, ml_dtypes.bfloat16)]
)
def test_half_precision(vocab_size: int, dtype: ir.DataType, element: type) -> None:
    case = make_case(vocab_size)
    proto = ir.to_proto(candidates_model(vocab_size, dtype))
    running = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    half = case.logits.astype(element)  # type: ignore[var-annotated]
    logits = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(half.view(np.uint16), int(dtype))
    feeds = {
        "logits": logits,
        "inverse_temperature": ort.OrtValue.ortvalue_from_numpy(case.inverse_temperature),
        "uniform": ort.OrtValue.ortvalue_from_numpy(case.uniform),
    }
    names = [output.name for output in running.get_outputs()]
    outputs = [value.numpy() for value in running.run_with_ort_values(names, feeds)]
    case.logits = half.astype(np.float32)
    check(case, Candidates(vocab_size, **dict(zip(names, outputs, strict=True))))


@pytest.mark.parametrize("vocab_size", [8, 300, 33000])
@pytest.mark.parametrize("uniform", [0.0, 1e-30, 1 - 2.0**-24])
def test_the_ends_of_the_draw(vocab_size: int, uniform: float) -> None:
    case = make_case(vocab_size)
    case.logits[:, :2] = case.logits[:, -3:] = -np.inf  # no weight at either end
    case.uniform.fill(uniform)
    found = case.run()
    weighty = np.isfinite(case.logits) & (case.logits * case.inverse_temperature[:, None] > -80)
    assert weighty[np.arange(len(found.drawn)), found.drawn].all()
    if uniform == 0:
        assert (found.drawn == np.isfinite(case.logits).argmax(axis=1)).all()


@pytest.mark.parametrize("vocab_size", [5, 300, 33000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.nan])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_row_that_is_not_finite_shows_and_disturbs_no_other(vocab_size: int, bad: float, share: float) -> None:
    case = make_case(vocab_size, rows=3)
    clean = case.run()
    where = np.random.default_rng(2).random(vocab_size) < share
    case.logits[1, where] = bad
    case.logits[1, vocab_size // 2] = bad
    found = case.run()
    assert np.isfinite(found.log_sum).tolist() == [True, False, True]
    for name in ("top_logits", "top_ids", "log_sum", "scaled_log_sum", "drawn", "drawn_logit"):
        assert np.array_equal(getattr(found, name)[::2], getattr(clean, name)[::2])
    assert (found.top_ids < vocab_size + 256).all()
    assert (found.top_ids >= 0).all()


def test_rows_of_minus_infinity_fail_and_tokens_of_minus_infinity_do_not() -> None:
    case = make_case(33000, rows=2)
    case.logits[0] = -np.inf
    case.logits[1, 10:] = -np.inf
    found = case.run()
    assert np.isfinite(found.log_sum).tolist() == [False, True]
    assert (found.top_logits[1, 10:] <= -3e38).all()
    assert found.top_ids[1, :10].tolist() == np.argsort(-case.logits[1, :10]).tolist()


def test_no_rows_give_no_candidates() -> None:
    case = make_case(33000, rows=0)
    assert case.run().top_ids.shape == (0, MAX_CANDIDATES)


def test_a_decoder_graph_keeps_its_logits() -> None:
    hidden = ir.val("hidden", ir.DataType.FLOAT16, ["num_logits", 8])
    logits = ir.val("logits", ir.DataType.FLOAT16, ["num_logits", 700])
    weight = ir.Value(name="head", const_value=ir.tensor(np.ones((8, 700), np.float16)), shape=ir.Shape([8, 700]))
    weight.type = ir.TensorType(ir.DataType.FLOAT16)
    node = ir.Node("", "MatMul", [hidden, weight], outputs=[logits])
    graph = ir.Graph([hidden], [logits], nodes=[node], initializers=[weight], opset_imports={"": 21})
    model = ir.Model(graph, ir_version=10)
    add_candidates(model)
    assert [value.name for value in graph.inputs] == ["hidden", "inverse_temperature", "uniform"]
    assert {value.name for value in graph.outputs} == {"logits", *Candidates.__slots__} - {"vocab_size"}
    running = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    column = np.ones(2, np.float32)
    feeds = {"hidden": np.ones((2, 8), np.float16), "inverse_temperature": column, "uniform": column * 0.5}
    full, ids = running.run(["logits", "top_ids"], feeds)
    assert full.dtype == np.float16
    assert (ids[:, 0] == 0).all()


@pytest.mark.parametrize("vocab_size", [5, 300, 152_064])
def test_the_added_nodes_can_be_held_by_a_cuda_graph(vocab_size: int) -> None:
    nodes = list(candidates_model(vocab_size).graph)
    assert not BARRED & {node.op_type for node in nodes}
    assert len(nodes) <= 61
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)


def test_the_host_chooses_from_the_graph_as_from_whole_rows() -> None:
    case = make_case(33000, rows=60, spread=4.0)
    kinds = [
        {},
        {"temperature": 0.7},
        {"temperature": 0.6, "top_p": 0.5},
        {"temperature": 1.0, "top_k": 40, "top_p": 0.9},
        {"temperature": 0.3, "min_p": 0.1},
        {"repetition_penalty": 1.3, "logprobs": 5},
    ]
    params = [SamplingParams(8, seed=i, **kinds[i % len(kinds)]) for i in range(60)]  # type: ignore[arg-type]
    tokens = case.logits.argsort(axis=1)[:, -9:]
    orders = [(i, str(i), SampleOrder(p, tokens[i], 4)) for i, p in enumerate(params)]
    sampling_inputs(orders, case.inverse_temperature, case.uniform)
    fetched: list[int] = []

    def fetch(rows: list[int]) -> np.ndarray:
        fetched.extend(rows)
        return case.logits[rows]

    found = choose(case.run(), orders, fetch)
    whole = sample(case.logits.copy(), orders)
    assert [s.token_id for s in found] == [s.token_id for s in whole]
    assert len(fetched) < 12, "the candidates settle most rows"
