"""The same promise with the KV cache in pages, where results are equal up to rounding.

Random schedules run on the real engine over a bundle for GPUs, through its reference function on a CPU. Matrix products
there depend on the batch in the last bits; so log-probabilities are compared with a tolerance, and a token may only
differ where two were about as likely.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import read_manifest
from attendant.core.events import TokenLogprob
from attendant.core.plan import CopyBlock, Move
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings, GpuSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bundles import make_llama_bundle, make_paged_bundle
from tests.faults import STAGES, FaultyHands
from tests.test_isolation import Answer, Recorder, prompt_of

CONTEXT = 128
NUM_EXAMPLES = 40
TOLERANCE = 1e-3  # of log-probabilities; measured: below 1e-4
MAX_DOUBTFUL = 0.02

Logprobs = list[TokenLogprob | None]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One model with pages and with slots, of the same weights and rotations."""
    pytest.importorskip("torch", reason="the exporter is not installed")
    folder = tmp_path_factory.mktemp("bundles")
    fields: dict[str, Any] = {"max_position_embeddings": CONTEXT, "head_dim": 32, "rounded": True}
    slots = make_llama_bundle(folder / "slots", "fp32", **fields)
    round_rotation(slots / "decoder.onnx")
    return make_paged_bundle(folder / "pages", **fields), slots


def round_rotation(path: Path) -> None:
    """Round a graph's rotary tables to bfloat16, which PagedAttention takes in the type of its queries."""
    import ml_dtypes
    import numpy as np
    import onnx_ir as ir
    from attendant_export.writer import file_entries, write_manifest

    model = ir.load(path)
    tables = [value for name, value in model.graph.initializers.items() if name.endswith("_table")]
    assert len(tables) == 2, "cosines and sines"
    for value in tables:
        assert value.const_value is not None
        rounded = value.const_value.numpy().astype(ml_dtypes.bfloat16).astype(np.float32)
        value.const_value = ir.Tensor(rounded, name=value.name)
    ir.save(model, path.with_name("rounded.onnx"), external_data="rounded.onnx.data")
    path.with_name("rounded.onnx").replace(path)
    write_manifest(path.parent, read_manifest(path.parent).model_copy(update={"files": file_entries(path.parent)}))


def make_engine(bundle: Path, gpu: GpuSettings | None = None, **changes: Any) -> Engine:
    chosen = EngineSettings(
        **{"max_num_seqs": 6, "max_num_batched_tokens": 40, "threads": 1, "spinning": False} | changes
    )
    return load_generator(bundle, read_manifest(bundle), chosen, gpu=gpu, verify=False).engines[0]


class Alone:
    """Each request alone on an idle engine without a prefix cache; answers are kept."""

    def __init__(self, bundle: Path) -> None:
        self._engine = make_engine(bundle, max_num_seqs=1, prefix_cache=False, max_num_batched_tokens=CONTEXT)
        self.answer = cache(self._answer)

    def _answer(self, prompt: tuple[int, ...], key: tuple) -> tuple[Answer, Logprobs]:
        recorder = Recorder()
        params = SamplingParams(**{**dict(key), "logprobs": max(2, dict(key).get("logprobs", 2))})
        self._engine.submit(Request("alone", prompt, params, time.monotonic_ns()))
        while self._engine.has_work:
            recorder.take(self._engine.step().events)
        return recorder.answer("alone"), recorder.logprobs.get("alone", [])


@pytest.fixture(scope="module")
def references(bundles: tuple[Path, Path]) -> list[Alone]:
    """Alone in pages, and alone in slots."""
    return [Alone(bundle) for bundle in bundles]


PARAMS = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 40)},
    optional={
        "temperature": st.sampled_from([0.0, 0.0, 0.7, 1.3]),
        "top_p": st.just(0.95),
        "top_k": st.sampled_from([20, 250]),
        "repetition_penalty": st.just(1.2),
        "seed": st.integers(0, 2**64 - 1),
        "logprobs": st.integers(0, 3),
        "ignore_eos": st.just(True),
    },
)
ARRIVAL = st.tuples(st.just("submit"), st.integers(0, 3), st.integers(0, 60), st.integers(1, 40), PARAMS)
COPIES = st.tuples(st.just("copies"), st.integers(2, 4), st.integers(0, 3), st.integers(1, 60), PARAMS)
STEPS = st.tuples(st.just("step"), st.integers(1, 10))
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 30))
FAIL = st.tuples(st.just("fail"), st.integers(0, 30), st.sampled_from(STAGES[:2]))
SCHEDULE = st.lists(st.one_of(ARRIVAL, ARRIVAL, COPIES, STEPS, CANCEL, FAIL), min_size=8, max_size=24)


class Comparison:
    """Compares answers up to the first token where rounding decided, and counts those."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def compare(self, got: Answer, logprobs: Logprobs, alone: tuple[Answer, Logprobs], key: tuple, end: bool) -> None:
        """``end``: the request ran to its own end; a cancelled one has a part of the tokens."""
        self.counts["compared"] += 1
        (wanted, reason, stop), reports = alone
        pairs = enumerate(zip(got[0], wanted, strict=False))
        differing = next((at for at, (found, other) in pairs if found != other), None)
        self._compare_logprobs(logprobs[:differing], reports[:differing])
        if differing is not None:
            report = reports[differing]
            assert report is not None
            is_greedy = not dict(key).get("temperature") and "repetition_penalty" not in dict(key)
            (_, first), (_, second) = report.top[:2]
            assert not is_greedy or first - second < TOLERANCE, f"token {differing} of {got[0]} is not {wanted}"
            self.counts["doubtful"] += 1
        elif end:
            assert got == (wanted, reason, stop)
        else:
            assert len(got[0]) <= len(wanted)

    def _compare_logprobs(self, found: Logprobs, wanted: Logprobs) -> None:
        for one, other in zip(found, wanted, strict=False):
            assert other is not None
            if one is not None:
                self.counts["log-probabilities"] += 1
                assert one.logprob == pytest.approx(other.logprob, abs=TOLERANCE)
                for (_, value), (_, likewise) in zip(one.top, other.top, strict=False):
                    assert value == pytest.approx(likewise, abs=TOLERANCE)


@dataclass
class Scenario:
    """An engine under random schedules."""

    engine: Engine
    hands: FaultyHands
    vocab: int
    references: list[Alone]
    comparison: Comparison
    num_requests: int = 0
    num_copies: int = 0
    num_failed: int = 0

    def watch_moves(self) -> None:
        """Count the blocks that are copied."""
        runner = self.engine._runner
        original = runner.move

        def move(moves: Sequence[Move]) -> None:
            self.num_copies += sum(isinstance(move, CopyBlock) for move in moves)
            original(moves)

        runner.move = move  # type: ignore[method-assign]

    def run(self, schedule: list[tuple]) -> None:
        recorder = Recorder()
        asked: dict[str, Any] = {}
        cancelled: set[str] = set()
        faults = self.hands.faults = {}
        for action in schedule:
            match action:
                case ("submit", family, shared, own, params):
                    self._submit(asked, prompt_of(family, shared, own, self.vocab, len(asked)), params)
                case ("copies", count, family, length, params):
                    for seed in range(count):
                        self._submit(asked, prompt_of(family, length, 0, self.vocab, 0), {**params, "seed": seed})
                case ("cancel", index) if asked:
                    id_ = list(asked)[index % len(asked)]
                    cancelled.add(id_)
                    self.engine.cancel(id_)
                case ("fail", index, stage) if asked:
                    faults[list(asked)[index % len(asked)]] = stage
                case ("step", count):
                    for _ in range(count):
                        self._step(recorder)
        while self.engine.has_work:
            self._step(recorder)
        self._step(recorder)
        assert set(recorder.ends) == set(asked)
        for id_, (prompt, key) in asked.items():
            got, logprobs = recorder.answer(id_), recorder.logprobs.get(id_, [])
            failed = id_ in faults and got[1] == "StepFailed"
            self.num_failed += failed
            whole = not failed and (id_ not in cancelled or got[1] != "cancelled")
            greedy = not dict(key).get("temperature")
            for reference in self.references if greedy else self.references[:1]:
                self.comparison.compare(got, logprobs, reference.answer(prompt, key), key, whole)

    def _submit(self, asked: dict[str, tuple], prompt: tuple[int, ...], params: dict) -> None:
        id_ = f"{self.num_requests}"
        self.num_requests += 1
        asked[id_] = (prompt, tuple(sorted(params.items())))
        self.engine.submit(Request(id_, prompt, SamplingParams(**params), time.monotonic_ns()))

    def _step(self, recorder: Recorder) -> None:
        recorder.take(self.engine.step().events)
        self.engine.check()


@pytest.mark.parametrize("block_size", [4, 32])
def test_every_answer_is_the_answer_alone(bundles: tuple[Path, Path], references: list[Alone], block_size: int) -> None:
    # blocks for one context and a little more, for six sequences: preemption is usual
    gpu = GpuSettings(block_size=block_size, num_blocks=1 + CONTEXT // block_size + 32 // block_size)
    engine = make_engine(bundles[0], gpu)
    scenario = Scenario(engine, FaultyHands(engine), read_manifest(bundles[0]).vocab_size, references, Comparison())
    scenario.watch_moves()

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(SCHEDULE)
    def run(schedule: list[tuple]) -> None:
        scenario.run(schedule)

    run()
    counts, stats = scenario.comparison.counts, engine._scheduler.pool.prefix_stats
    print(
        f"blocks of {block_size}: {scenario.num_requests} requests, {dict(counts)}, "
        f"{engine._scheduler.num_preemptions} preemptions, {stats.hits} of {stats.queries} prompt tokens found, "
        f"{scenario.num_copies} blocks copied"
    )
    assert counts["compared"] >= 300
    assert scenario.num_failed > 20
    assert counts["log-probabilities"] > 1000
    assert counts["doubtful"] <= MAX_DOUBTFUL * counts["compared"]
    assert engine._scheduler.num_preemptions > 10
    assert stats.hits > 1000
    assert scenario.num_copies > 20 or block_size < 32
