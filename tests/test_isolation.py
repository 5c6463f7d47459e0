"""The promise of the project: what you get never depends on who else is being served.

Random schedules of arrivals, cancellations, preemptions, shared prefixes and runs that fail with one request run on the
real engine and ONNX Runtime; every other request must get the very tokens, and log-probabilities, that it gets alone on
an idle engine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import read_manifest
from attendant.core.events import TokenEvent, TokenLogprob
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bundles import make_llama_bundle
from tests.engine.helpers import Collected
from tests.faults import STAGES, FaultyHands
from tests.synthetic import make_synthetic_bundle

CONTEXT = 192
NUM_EXAMPLES = 60
PRECISIONS = ["synthetic", "fp32", "int8", "int4", "mixed"]

Answer = tuple[list[int], str, int | None]


@pytest.fixture(scope="module", params=PRECISIONS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("bundles") / request.param
    if request.param == "synthetic":
        yield make_synthetic_bundle(out, context_length=CONTEXT, heads=2, kv_heads=1, head_size=32)
    else:
        # blocks of 32 and 64 channels: some whole ones, and a part
        wide = {"hidden_size": 128, "intermediate_size": 160} if request.param in ("int4", "mixed") else {}
        yield make_llama_bundle(out, request.param, max_position_embeddings=CONTEXT, head_dim=32, **wide)


def make_engine(bundle: Path, **changes: Any) -> Engine:
    chosen = EngineSettings(
        **{"max_num_seqs": 6, "max_num_batched_tokens": 40, "threads": 2, "spinning": False} | changes
    )
    return load_generator(bundle, read_manifest(bundle), chosen, verify=False).engines[0]


class Recorder(Collected):
    """Collects log-probabilities besides."""

    def __init__(self) -> None:
        super().__init__()
        self.logprobs: dict[str, list[TokenLogprob | None]] = {}

    def take(self, events: Any) -> None:
        super().take(events)
        for event in events:
            if isinstance(event, TokenEvent):
                self.logprobs.setdefault(event.request_id, []).append(event.logprob)


class Reference:
    """Each request alone on an idle engine without a prefix cache; answers are kept."""

    def __init__(self, bundle: Path) -> None:
        self._engine = make_engine(bundle, max_num_seqs=1, prefix_cache=False, max_num_batched_tokens=512)
        self.answer = cache(self._answer)

    def _answer(self, prompt: tuple[int, ...], key: tuple) -> tuple[Answer, list[TokenLogprob | None]]:
        recorder = Recorder()
        self._engine.submit(Request("alone", prompt, SamplingParams(**dict(key)), time.monotonic_ns()))
        while self._engine.has_work:
            recorder.take(self._engine.step().events)
        return recorder.answer("alone"), recorder.logprobs.get("alone", [])


PARAMS = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 90)},
    optional={
        "temperature": st.sampled_from([0.0, 0.7, 1.3]),
        "top_p": st.sampled_from([0.5, 0.95]),
        "top_k": st.sampled_from([1, 20]),
        "min_p": st.just(0.05),
        "repetition_penalty": st.just(1.2),
        "frequency_penalty": st.just(0.3),
        "seed": st.integers(0, 2**64 - 1),
        "logprobs": st.integers(0, 3),
        "min_tokens": st.just(1),
        "ignore_eos": st.just(True),
    },
)
ARRIVAL = st.tuples(st.just("submit"), st.integers(0, 3), st.integers(0, 60), st.integers(1, 50), PARAMS)
STEPS = st.tuples(st.just("step"), st.integers(1, 12))
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 30))
FAIL = st.tuples(st.just("fail"), st.integers(0, 30), st.sampled_from(STAGES))
SCHEDULE = st.lists(st.one_of(ARRIVAL, ARRIVAL, ARRIVAL, STEPS, CANCEL, FAIL), min_size=20, max_size=56)


def prompt_of(family: int, shared: int, own: int, vocab: int, salt: int) -> tuple[int, ...]:
    """A prompt whose first ``shared`` tokens are those of its family, the rest its own."""
    tokens = [(7 * family + 13 * i) % (vocab - 6) + 6 for i in range(shared)]
    return tuple(tokens + [(salt * 31 + 17 * i * i) % (vocab - 6) + 6 for i in range(own)])


def test_every_answer_equals_the_answer_alone(bundle: Path) -> None:  # noqa: PLR0915 - one schedule
    reference = Reference(bundle)
    vocab = read_manifest(bundle).vocab_size
    bytes_per_token = read_manifest(bundle).kv_bytes_per_token()
    # a KV budget of one context for six sequences: preemption is usual
    engine = make_engine(bundle, kv_memory=CONTEXT * bytes_per_token)
    scheduler, hands = engine._scheduler, FaultyHands(engine)
    seen = {"requests": 0, "compared": 0, "rides": 0, "failed": 0}

    def step(recorder: Recorder) -> None:
        report = engine.step()
        recorder.take(report.events)
        seen["rides"] += bool(report.stats.num_prefill_tokens and report.stats.num_decode_tokens)

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(SCHEDULE)
    def run(schedule: list[tuple]) -> None:
        recorder = Recorder()
        asked: dict[str, Any] = {}
        cancelled: set[str] = set()
        base, hands.faults = seen["requests"], {}
        for action in schedule:
            match action:
                case ("submit", family, shared, own, params):
                    id_ = f"{base + len(asked)}"
                    prompt = prompt_of(family, shared, own, vocab, len(asked))
                    asked[id_] = (prompt, tuple(sorted(params.items())))
                    asks = Request(id_, prompt, SamplingParams(**params), time.monotonic_ns(), tenant="abc"[family % 3])
                    engine.submit(replace(asks, priority=shared % 2))
                case ("cancel", index) if asked:
                    id_ = list(asked)[index % len(asked)]
                    cancelled.add(id_)
                    engine.cancel(id_)
                case ("fail", index, stage) if asked:
                    running = [sequence.id for sequence in scheduler._places._running if index % 4] or list(asked)
                    hands.faults[running[index % len(running)]] = stage
                case ("step", count):
                    for _ in range(count):
                        step(recorder)
        while engine.has_work:
            step(recorder)
            scheduler.pool.check()
        recorder.take(engine.step().events)
        seen["requests"] += len(asked)
        assert set(recorder.ends) == set(asked)
        for id_, (prompt, key) in asked.items():
            (tokens, reason, stop), logprobs = reference.answer(prompt, key)
            got = recorder.answer(id_)
            if (id_ in cancelled and got[1] == "cancelled") or (id_ in hands.faults and got[1] == "StepFailed"):
                assert got[0] == tokens[: len(got[0])]
                seen["failed"] += got[1] == "StepFailed"
            else:
                assert got == (tokens, reason, stop)
                assert recorder.logprobs.get(id_, []) == logprobs, "log-probabilities are equal to the last bit"
                seen["compared"] += 1

    run()
    stats = scheduler.pool.prefix_stats
    print(
        f"{bundle.name}: {seen}, {hands.num_shared} shared runs raised, {scheduler.num_preemptions} preemptions, "
        f"{stats.hits} of {stats.queries} prompt tokens"
    )
    assert seen["requests"] >= 300
    assert seen["failed"] > 50
    assert hands.num_shared > 5
    assert bool(seen["rides"]) == (bundle.name in ("fp32", "int8", "int4")), "steps of prompts and decodes"
    assert scheduler.num_preemptions > 10
    assert stats.hits > 1000
