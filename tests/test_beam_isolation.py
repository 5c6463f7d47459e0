"""Searches, samples and greedy answers at random times, some cancelled, some that fail, over memory that is scarce:
each other gets what it gets alone, and every hypothesis ends exactly once."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import pytest
from attendant.bundle import read_manifest
from attendant.core.beams import BeamParams
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundles import make_llama_bundle
from tests.engine.helpers import Collected
from tests.faults import STAGES, FaultyHands

CONTEXT, PLACES = 128, 6
Key = tuple[int, int, int, int, int, str]  # salt, prompt tokens, max_tokens, beams, returned, early stopping

KEYS = st.builds(
    lambda salt, length, limit, beams, returned, stopping: (
        salt,
        length,
        limit,
        beams,
        min(returned, beams),
        stopping,
    ),
    st.integers(0, 4),
    st.integers(1, 40),
    st.integers(1, 24),
    st.sampled_from([1, 1, 2, 3, 4]),
    st.integers(1, 4),
    st.sampled_from(["heuristic", "first", "never"]),
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), KEYS),
        st.tuples(st.just("submit"), KEYS),
        st.tuples(st.just("step"), st.integers(1, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("fail"), st.tuples(st.integers(0, 20), st.sampled_from(STAGES))),
    ),
    min_size=6,
    max_size=24,
)


def request_of(name: str, key: Key) -> Request:
    salt, length, limit, num_beams, returned, stopping = key
    prompt = tuple((salt * 37 + 11 * i * i) % 290 + 3 for i in range(length))
    params = SamplingParams(max_tokens=limit, stop_token_ids=tuple(range(3, 300, 9)))
    if num_beams == 1:
        return Request(name, prompt, params, time.monotonic_ns())
    names = tuple(name if i == 0 else f"{name}.{i}" for i in range(returned))
    beams = BeamParams(num_beams, returned, early_stopping=stopping)  # type: ignore[arg-type]
    return Request(name, prompt, params, time.monotonic_ns(), beams=beams, hypotheses=names)


def names_of(request: Request) -> tuple[str, ...]:
    return request.hypotheses or (request.id,)


@pytest.fixture(scope="module", params=["int8", "pages"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, paged_bundle: Path) -> Path:
    if request.param == "pages":
        return paged_bundle
    out = tmp_path_factory.mktemp("bundles") / "llama"
    return make_llama_bundle(out, "int8", max_position_embeddings=CONTEXT)


def make_engine(bundle: Path, memory: int) -> Engine:
    manifest = read_manifest(bundle)
    chosen = EngineSettings(
        max_num_seqs=PLACES,
        max_num_batched_tokens=40,
        max_context_length=CONTEXT,
        kv_memory=memory * manifest.kv_bytes_per_token(),
        threads=1,
        spinning=False,
    )
    return load_generator(bundle, manifest, chosen, verify=False).engines[0]


def test_every_answer_equals_the_answer_alone(bundle: Path) -> None:
    lone = make_engine(bundle, PLACES * CONTEXT)
    engine = make_engine(bundle, 4 * CONTEXT)
    hands = FaultyHands(engine)
    seen = {"searches": 0, "cancelled": 0, "failed": 0}

    @cache
    def alone(key: Key) -> list[tuple[list[int], str, int | None]]:
        request, collected = request_of("alone", key), Collected()
        lone.submit(request)
        while lone.has_work:
            collected.take(lone.step().events)
        return [collected.answer(name) for name in names_of(request)]

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(ACTIONS)
    def run(actions: list[tuple[str, object]]) -> None:
        collected, submitted, cancelled = Collected(), list[tuple[Request, Key]](), set[str]()
        hands.faults = {}
        for action, value in actions:
            if action == "submit":
                request = request_of(f"r{len(submitted)}", value)  # type: ignore[arg-type]
                submitted.append((request, value))  # type: ignore[arg-type]
                engine.submit(request)
            elif action == "step":
                for _ in range(value):  # type: ignore[call-overload]
                    collected.take(engine.step().events)
                    engine.check()
            elif action == "fail":
                index, stage = value  # type: ignore[misc]
                hands.faults[f"r{index}"] = stage  # type: ignore[has-type]
            elif value < len(submitted):  # type: ignore[operator]
                name = names_of(submitted[value][0])[-1]  # type: ignore[call-overload]
                engine.cancel(name)
                cancelled.add(submitted[value][0].id)  # type: ignore[call-overload]
        while engine.has_work:
            collected.take(engine.step().events)
            engine.check()
        for request, key in submitted:
            found = [collected.answer(name) for name in names_of(request)]
            seen["searches"] += request.beams is not None
            if request.id in cancelled and any(reason == "cancelled" for _, reason, _ in found):
                seen["cancelled"] += 1
                assert request.beams is None or all(reason == "cancelled" for _, reason, _ in found)
            elif request.id in hands.faults and any(reason == "StepFailed" for _, reason, _ in found):
                seen["failed"] += 1
                assert request.beams is None or all(reason == "StepFailed" for _, reason, _ in found)
            else:
                assert found == alone(key), key

    run()
    assert seen["searches"] > 30
    assert seen["cancelled"] > 1
    assert seen["failed"] > 5
