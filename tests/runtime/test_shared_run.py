"""Which chunks share a run, and that they share it: same bits, and a bad one costs itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from attendant.bundle import read_manifest
from attendant.core.events import FailedEvent
from attendant.core.plan import Chunk, SampleOrder, StepPlan
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.models.generators import load_generator
from attendant.models.slots import RUN_COST
from attendant.runtime.kv import SlotBuffers
from attendant.runtime.session import SessionOptions, open_session
from attendant.runtime.shared_run import SharedRun, can_ride, shared_runs
from attendant.runtime.slot_runner import SlotRunner
from attendant.settings import EngineSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.engine.helpers import Collected, drain
from tests.synthetic import make_synthetic_bundle

SLOTS, LENGTH, POISON = 6, 256, 5
ROWS = st.lists(  # of each slot: positions in the cache, new tokens
    st.one_of(st.none(), st.tuples(st.integers(0, 100), st.sampled_from([1, 2, 3, 7, 30, 64]))),
    min_size=SLOTS,
    max_size=SLOTS,
).filter(any)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("b") / "ragged"
    return make_synthetic_bundle(out, ragged=True, heads=2, kv_heads=1, head_size=64, poison_token=POISON, eos_bias=-50)


@pytest.fixture(scope="module")
def hands(bundle: Path) -> tuple[SlotRunner, SlotBuffers]:
    manifest = read_manifest(bundle)
    buffers = SlotBuffers(manifest.kv_layers, SLOTS, LENGTH)
    session = open_session(bundle / "decoder.onnx", SessionOptions(2))
    return SlotRunner(session, manifest, buffers), buffers


def chunk(slot: int, start: int, length: int) -> Chunk:
    tokens = np.random.default_rng(slot).integers(6, 200, start + length)
    order = SampleOrder(SamplingParams(max_tokens=1, logprobs=2), tokens, len(tokens))
    return Chunk(str(slot), slot, start, tokens[start:], order)


def test_chunks_of_several_slots_share_a_run_and_those_of_one_do_not() -> None:
    first, second, other = chunk(0, 0, 30), chunk(0, 30, 5), chunk(2, 7, 20)
    runs = [run.chunks for run in shared_runs([first, second, other], LENGTH)]
    assert [[c.request_id for c in chunks] for chunks in runs] == [["0"], ["0", "2"]]
    assert runs[1] == (second, other)


def test_a_row_without_room_for_the_longest_one_runs_apart() -> None:
    near_its_end, long = chunk(0, LENGTH - 3, 1), chunk(1, 0, 60)
    assert not can_ride([near_its_end], [long], LENGTH)
    assert can_ride([near_its_end], [chunk(1, 0, 3)], LENGTH)
    assert can_ride([chunk(0, 9, 1)], [long], LENGTH)
    assert not can_ride([], [long], LENGTH)


def test_a_view_of_little_but_padding_is_not_made() -> None:
    short, long = [chunk(slot, 9, 1) for slot in range(4)], chunk(5, 0, 200)
    assert not can_ride(short, [long], LENGTH)
    assert can_ride(short, [chunk(5, 0, 100)], LENGTH)


def test_the_view_shows_each_token_once() -> None:
    run = SharedRun((chunk(1, 0, 3), chunk(3, 5, 2)))
    inputs = run.inputs()
    assert run.slots == slice(1, 4)
    assert inputs["query_seqlens"].tolist() == [3, 0, 2]
    assert inputs["seqlens_k"].tolist() == [2, 0, 6]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 5, 6]]
    assert inputs["logits_index"].tolist() == [2, 4]
    places = inputs["pad_index"][tuple(inputs["unpad_index"][0].T)]
    assert places.tolist() == [[0, token] for token in range(5)]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(ROWS)
def test_rows_of_a_shared_run_are_to_the_bit_what_they_are_alone(
    hands: tuple[SlotRunner, SlotBuffers], rows: list[tuple[int, int] | None]
) -> None:
    runner, buffers = hands
    chunks = [chunk(slot, *row) for slot, row in enumerate(rows) if row]
    tensors = (*buffers.keys, *buffers.values)
    random = np.random.default_rng(7)
    before = [random.standard_normal(tensor.shape).astype(np.float32) for tensor in tensors]

    def run(*plans: StepPlan) -> tuple[list[object], list[np.ndarray]]:
        for tensor, content in zip(tensors, before, strict=True):
            tensor[:] = content
        found = {name: report for plan in plans for name, report in runner.run(plan).logprobs.items()}
        return [found[c.request_id] for c in chunks], [tensor.copy() for tensor in tensors]

    def plan(some: list[Chunk]) -> StepPlan:
        return StepPlan(prefills=tuple(some))

    alone, together = run(*(plan([c]) for c in chunks)), run(plan(chunks))
    assert alone[0] == together[0]
    assert all(map(np.array_equal, alone[1], together[1])), "and nothing else of the cache is touched"


def scale_logits(path: Path, factor: Callable[[], list[onnx.NodeProto]]) -> None:
    """Logits times 1.01 where the nodes of ``factor`` find ``found``, a bool, true."""
    model = onnx.load(path)
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "plain_logits"
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(1.01, np.float32), "more"),
            numpy_helper.from_array(np.array(1.0, np.float32), "same"),
            numpy_helper.from_array(np.array(1, np.int64), "one"),
        ]
    )
    model.graph.node.extend(
        [
            *factor(),
            helper.make_node("Where", ["found", "more", "same"], ["scale"]),
            helper.make_node("Mul", ["plain_logits", "scale"], ["logits"]),
        ]
    )
    onnx.save(model, path)


def several_rows() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Size", ["query_seqlens"], ["count"]),
        helper.make_node("Greater", ["count", "one"], ["found"]),
    ]


def a_decode_beside_a_prompt() -> list[onnx.NodeProto]:
    """The view is wider than its shortest row, and that is one token."""
    return [
        helper.make_node("Cast", ["query_seqlens"], ["counts"], to=TensorProto.INT64),
        helper.make_node("ReduceMin", ["counts"], ["least"], keepdims=0),
        helper.make_node("ReduceMax", ["counts"], ["most"], keepdims=0),
        helper.make_node("Equal", ["least", "one"], ["is_decode"]),
        helper.make_node("Greater", ["most", "one"], ["is_prompt"]),
        helper.make_node("And", ["is_decode", "is_prompt"], ["found"]),
    ]


@pytest.mark.parametrize(
    ("factor", "apart", "cost"),
    [(None, False, RUN_COST), (a_decode_beside_a_prompt, True, RUN_COST), (several_rows, True, 0)],
)
def test_what_changes_a_bit_is_kept_out_of_the_run(
    factor: Callable[[], list[onnx.NodeProto]] | None, apart: bool, cost: int, tmp_path: Path
) -> None:
    bundle = make_synthetic_bundle(tmp_path / "b", ragged=True, heads=2, kv_heads=1, head_size=64, eos_bias=-50)
    if factor is not None:
        scale_logits(bundle / "decoder.onnx", factor)
    engine = load_generator(bundle, read_manifest(bundle), EngineSettings(threads=1), verify=False).engines[0]
    limits = engine._scheduler._limits
    assert (limits.prompts_apart, limits.run_cost) == (apart, cost)


def test_a_poisoned_prompt_costs_none_of_those_in_its_run(bundle: Path) -> None:
    engine = load_generator(bundle, read_manifest(bundle), EngineSettings(threads=1), verify=False).engines[0]

    def submit(name: str, prompt: tuple[int, ...]) -> None:
        engine.submit(Request(name, prompt, SamplingParams(max_tokens=8), time.monotonic_ns()))

    collected = Collected()
    submit("stream", tuple(range(20, 40)))
    collected.take(engine.step().events)
    for name, first in (("a", 30), ("bad", POISON), ("b", 31)):
        submit(name, (first, *range(40, 50)))
    report = engine.step()
    assert report.stats.num_decode_tokens == 1
    assert report.stats.num_prefill_tokens == 3 * 11
    collected.take(report.events)
    drain(engine, collected)
    ends = {name: isinstance(end, FailedEvent) for name, end in collected.ends.items()}
    assert ends == {"stream": False, "a": False, "bad": True, "b": False}
    assert all(len(collected.tokens[name]) == 8 for name in ("stream", "a", "b"))
