"""Answers to sources of any length, searched or sampled, that arrive, are cancelled and fail at random: bit for bit
what each is alone on an idle engine, in int8."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from attendant.bundle import read_manifest
from attendant.core.beams import BeamParams
from attendant.core.events import EngineEvent, TokenEvent, TokenLogprob
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.core.source import Source
from attendant.engine.engine import Engine
from attendant.models.engines import spare_seqs
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import Collected
from tests.faults import STAGES, FaultyHands

pytest.importorskip("torch", reason="the exporter is not installed")

from attendant_export.cli import main

from tests.export.seq2seq_families import FAMILIES, POSITIONS, save_folder

PLACES = 6
FAMILY = FAMILIES["marian"]
Key = tuple[int, int, int, int, int, float]  # salt, source tokens, prompt tokens, max_tokens, beams, temperature
Answer = list[tuple[list[int], str, int | None, list[TokenLogprob | None]]]

KEYS = st.tuples(
    st.integers(0, 3),
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 20),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.sampled_from([0.0, 0.0, 1.2]),
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), KEYS),
        st.tuples(st.just("submit"), KEYS),
        st.tuples(st.just("step"), st.integers(1, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("fail"), st.tuples(st.integers(0, 20), st.sampled_from(STAGES))),
    ),
    min_size=8,
    max_size=30,
)


class Recorder(Collected):
    """Collects log-probabilities besides."""

    def __init__(self) -> None:
        super().__init__()
        self.logprobs: dict[str, list[TokenLogprob | None]] = {}

    def take(self, events: Sequence[EngineEvent]) -> None:
        super().take(events)
        for event in events:
            if isinstance(event, TokenEvent):
                self.logprobs.setdefault(event.request_id, []).append(event.logprob)

    def answers(self, request: Request) -> Answer:
        names = request.hypotheses or (request.id,)
        return [(*self.answer(name), self.logprobs.get(name, [])) for name in names]


def request_of(name: str, key: Key) -> Request:
    salt, length, prompt, limit, num_beams, temperature = key
    first = len(FAMILY.specials)
    ids = np.array([(salt * 37 + 11 * i * i) % 250 + first for i in range(length)], np.int64)
    tokens = (FAMILY.id_of("<pad>"), *((salt + 7 * i) % 250 + first for i in range(prompt - 1)))
    searches = num_beams > 1
    params = SamplingParams(
        max_tokens=limit,
        temperature=0.0 if searches else temperature,
        seed=salt,
        logprobs=0 if searches else 2,
        suppressed=(FAMILY.id_of("<pad>"),),
        no_repeat_ngram_size=3 * (salt == 1),
    )
    names = (name, f"{name}.1") if searches else ()
    beams = BeamParams(num_beams, 2) if searches else None
    source = Source({"input_ids": ids}, length)
    return Request(name, tokens, params, time.monotonic_ns(), None, source, beams, names)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian")
    save_folder("marian", folder / "source")
    assert main([str(folder / "source"), str(folder / "bundle"), "--precision", "int8"]) == 0
    return folder / "bundle"


def make_engine(bundle: Path, tokens: int) -> Engine:
    """With memory for so many positions of answers, and for the sources of all places."""
    manifest, rows = read_manifest(bundle), PLACES + spare_seqs(PLACES)
    memory = tokens * manifest.kv_bytes_per_token() + rows * POSITIONS * manifest.source_bytes_per_token()
    chosen = EngineSettings(
        max_num_seqs=PLACES, max_num_batched_tokens=200, kv_memory=memory, threads=2, spinning=False
    )
    return load_generator(bundle, manifest, chosen, verify=False).engines[0]


def test_every_answer_equals_the_answer_alone(bundle: Path) -> None:
    lone, engine = make_engine(bundle, PLACES * POSITIONS), make_engine(bundle, 3 * 64)
    hands = FaultyHands(engine)
    seen = {"compared": 0, "cancelled": 0, "failed": 0, "sources": 0}

    @cache
    def alone(key: Key) -> Answer:
        request, recorder = request_of("alone", key), Recorder()
        lone.submit(request)
        while lone.has_work:
            recorder.take(lone.step().events)
        return recorder.answers(request)

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(ACTIONS)
    def run(actions: list[tuple[str, object]]) -> None:
        recorder, submitted = Recorder(), list[tuple[Request, Key]]()
        hands.faults = {}

        def step() -> None:
            report = engine.step()
            recorder.take(report.events)
            seen["sources"] += report.stats.num_fed_tokens > 40
            engine.check()

        for action, value in actions:
            if action == "submit":
                submitted.append((request_of(f"r{len(submitted)}", value), value))  # type: ignore[arg-type]
                engine.submit(submitted[-1][0])
            elif action == "fail":
                index, stage = value  # type: ignore[misc]
                hands.faults[f"r{index}"] = stage  # type: ignore[has-type]
            elif action == "cancel" and value < len(submitted):  # type: ignore[operator]
                engine.cancel(submitted[value][0].id)  # type: ignore[call-overload]
            elif action == "step":
                for _ in range(value):  # type: ignore[call-overload]
                    step()
        while engine.has_work:
            step()
        for request, key in submitted:
            found = recorder.answers(request)
            if any(reason == "cancelled" for _, reason, _, _ in found):
                seen["cancelled"] += 1
            elif request.id in hands.faults and any(reason == "StepFailed" for _, reason, _, _ in found):
                seen["failed"] += 1
            else:
                seen["compared"] += 1
                assert found == alone(key), key

    run()
    assert seen["compared"] > 100
    assert seen["cancelled"] > 1
    assert min(seen["failed"], seen["sources"]) > 5
