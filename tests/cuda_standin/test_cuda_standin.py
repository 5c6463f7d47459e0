"""Tiny bundles through the CUDA execution provider on the stand-in, and that the stand-in can complain.

All but the tests of verdicts need ATTENDANT_CUDA_STANDIN in the environment: the folder that
``python -m tests.cuda_standin --work`` prepares.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bundles import cuda_bundle, make_paged_bundle
from tests.cuda_standin.child import Outcome
from tests.cuda_standin.misuse import CASES
from tests.cuda_standin.placement import Placement
from tests.cuda_standin.report import Report, Verdict, run_bundle
from tests.cuda_standin.workplace import Complaint, Workplace, prepare

FOLDER = os.environ.get("ATTENDANT_CUDA_STANDIN")
needs_folder = pytest.mark.skipif(not FOLDER, reason="ATTENDANT_CUDA_STANDIN does not name a prepared folder")

RECIPES = [("bf16", "model"), ("fp16", "model"), ("int4", "model"), ("bf16", "int8"), ("fp16", "fp8")]
GRAPHS = ["copy_blocks.onnx", "decoder.onnx", "pick_rows.onnx"]
BROADCAST = "node_mul: right operand cannot broadcast on dim 0 LeftShape: {0,64}, RightShape: {2048,1}"
SPLIT = "Sum of sizes in 'split' (must equal size of selected axis) was 0"


@pytest.fixture(scope="module")
def workplace() -> Workplace:
    assert FOLDER
    return prepare(Path(FOLDER))


@needs_folder
@pytest.mark.parametrize(("precision", "kv_cache"), RECIPES)
def test_a_bundle_is_all_on_the_gpu_and_captured(
    precision: str, kv_cache: str, workplace: Workplace, tmp_path: Path
) -> None:
    bundle = cuda_bundle(make_paged_bundle(tmp_path / "paged", precision, kv_cache))
    report = run_bundle(workplace, bundle)
    shown = "\n".join(report.lines())
    assert report.verdict is Verdict.PASSED, shown
    placements = report.outcome.placements
    assert sorted(placements) == GRAPHS
    assert not any(placed.on_cpu or placed.from_host or placed.to_host for placed in placements.values()), shown
    # Each is replayed once when it is captured; more replays are steps of requests.
    assert 0 < report.outcome.captures < report.outcome.replays, shown


@needs_folder
def test_candidates_of_a_large_vocabulary_need_no_more_libraries(workplace: Workplace, tmp_path: Path) -> None:
    report = run_bundle(workplace, cuda_bundle(make_paged_bundle(tmp_path / "paged", vocab_size=33_000)))
    assert report.verdict is Verdict.PASSED, "\n".join(report.lines())


@needs_folder
@pytest.mark.parametrize("case", CASES)
def test_misuse_is_complained_about(case: str, workplace: Workplace) -> None:
    child = workplace.run_python(["-m", "tests.cuda_standin.misuse", case])
    assert child.returncode == 0, child.output
    assert {complaint.kind for complaint in child.complaints} == {CASES[case][1]}, child.output


@needs_folder
def test_the_device_has_the_memory_it_is_given(workplace: Workplace) -> None:
    code = (
        "import ctypes; cudart = ctypes.CDLL('libcudart.so.13'); address = ctypes.c_void_p();"
        "print([cudart.cudaMalloc(ctypes.byref(address), ctypes.c_size_t(size << 20)) for size in (8, 8, 1)])"
    )
    child = workplace.run_python(["-c", code], memory=16 << 20)
    assert child.output.strip() == "[0, 0, 2]", child.output


@pytest.mark.parametrize(
    ("error", "to_host", "verdict"),
    [
        (BROADCAST, 8, Verdict.NOT_ON_ZEROS),
        (SPLIT, 8, Verdict.NOT_ON_ZEROS),
        (SPLIT.replace("0", "4"), 8, Verdict.FAILED),
        (BROADCAST, 0, Verdict.FAILED),
        ("cuDNN is unavailable", 8, Verdict.FAILED),
    ],
)
def test_only_shapes_made_of_zeros_excuse_an_error(error: str, to_host: int, verdict: Verdict) -> None:
    placements = {"decoder.onnx": Placement(num_nodes=9, on_cpu={}, from_host=0, to_host=to_host)}
    outcome = Outcome(placements=placements, error=f"RuntimeError: {error}")
    assert Report("bundle", outcome, ()).verdict is verdict
    assert Report("bundle", outcome, (Complaint("bad-launch", ""),)).verdict is Verdict.FAILED


def test_a_bundle_without_captures_has_failed() -> None:
    assert Report("bundle", Outcome(finished=12, captures=4, replays=16), ()).verdict is Verdict.PASSED
    assert Report("bundle", Outcome(finished=12), ()).verdict is Verdict.FAILED
