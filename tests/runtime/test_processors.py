"""Runs of several models on the same processors: each has its turn, none waits for ever, and no bit changes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.batching.thread import BatchThread
from attendant.bundle import read_any_manifest, read_manifest
from attendant.core.encoding import BatchReport, Row, RowFailure, RowResult
from attendant.core.events import FailedEvent, TokenEvent
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.engine.thread import EngineThread, Report
from attendant.models.encoder_check import probe_row
from attendant.models.encoders import EncoderPart, load_encoder
from attendant.models.generators import load_generator
from attendant.runtime.processors import ModelTurns, Processors
from attendant.runtime.session import Shared
from attendant.settings import EncoderSettings, EngineSettings

from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import POISON, make_text_encoder
from tests.system.server import HANGS_S, eventually

SETTINGS = EngineSettings(threads=2, max_num_seqs=4)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_encoder(tmp_path_factory.mktemp("bundle") / "classifier")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("bundle") / "generator", eos_bias=-1e4)


def load(bundle: Path, turns: ModelTurns) -> EncoderPart:
    manifest = read_any_manifest(bundle)
    return load_encoder(bundle, manifest, EncoderSettings(threads=2), shared=Shared(turns), verify=False)  # type: ignore[arg-type]


def engine(bundle: Path, turns: ModelTurns | None) -> Engine:
    shared = Shared(turns)
    return load_generator(bundle, read_manifest(bundle), SETTINGS, shared=shared, verify=False).engines[0]


def poison(part: EncoderPart) -> Row:
    """A row that makes the run raise inside ONNX Runtime."""
    row = probe_row(part.manifest)
    row.arrays["input_ids"][0] = POISON
    return replace(row, id="poison")


def answers(served: Engine) -> list[object]:
    """What three requests get, with log-probabilities."""
    for number in range(3):
        prompt = tuple(range(10 + number, 40 + 7 * number))
        params = SamplingParams(max_tokens=20, ignore_eos=True, logprobs=2)
        served.submit(Request(f"r{number}", prompt, params, time.monotonic_ns()))
    found: list[object] = []
    while served.has_work:
        for event in served.step().events:
            assert not isinstance(event, FailedEvent)
            if isinstance(event, TokenEvent):
                found.append((event.request_id, event.token_id, event.logprob))
    return found


def test_a_turn_that_raises_is_given_back() -> None:
    turns = Processors(2).turns()
    with pytest.raises(ValueError, match="broken"), turns.turn(2):
        raise ValueError("broken")
    with turns.turn(2):
        pass


def test_a_run_that_raises_gives_its_turn_back(classifier: Path) -> None:
    processors = Processors(2)
    part = load(classifier, processors.turns())
    with pytest.raises(Exception, match="indices element out of data bounds"):
        part.runner.run([poison(part)])
    with processors.turns().turn(2):
        pass
    assert part.runner.run([probe_row(part.manifest)])


def test_only_one_of_those_who_need_all_runs_at_once() -> None:
    processors, seen, inside = Processors(2), [], [0]

    def work(turns: ModelTurns) -> None:
        for _ in range(50):
            with turns.turn(2):
                inside[0] += 1
                time.sleep(0.0005)  # so that others would come in between
                seen.append(inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [processors.turns() for _ in range(4)], timeout=HANGS_S))
    assert seen == [1] * 200


def test_loading_comes_to_its_end_beside_others_who_always_run() -> None:
    processors, ended = Processors(2), threading.Event()

    def serve() -> None:
        turns = processors.turns()
        while not ended.is_set():
            with turns.turn(2):
                pass

    loading = processors.turns(loading=True)
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(serve) for _ in range(2)]
        try:
            for _ in range(20):
                with loading.turn(2):
                    pass
        finally:
            ended.set()
        for each in busy:
            each.result(HANGS_S)


def test_loading_goes_on_when_it_is_quiet() -> None:
    """It owes others time, and nobody tells it that they do not want it."""
    processors = Processors(2)
    loading, serving = processors.turns(loading=True), processors.turns()

    def serve() -> None:
        with serving.turn(2):
            pass

    with ThreadPoolExecutor(1) as pool:
        with loading.turn(2):
            late = pool.submit(serve)
            eventually(lambda: processors.num_waiting == 1)
        late.result(HANGS_S)
    with loading.turn(2):
        pass


def test_a_model_gives_the_same_bits_in_company(generator: Path) -> None:
    alone = answers(engine(generator, None))
    processors = Processors(2)
    several = [engine(generator, processors.turns()) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(answers, several, timeout=HANGS_S):
            assert found == alone


def test_a_batch_thread_that_waits_for_its_turn_ends_with_it(classifier: Path) -> None:
    processors = Processors(2)
    part = load(classifier, processors.turns())
    reports: list[BatchReport] = []
    deaths: list[BaseException] = []
    thread = BatchThread("waits", part.runner, part.limits, reports.append, deaths.append)  # type: ignore[arg-type]
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        with processors.turns().turn(2):
            thread.submit([probe_row(part.manifest)])
            eventually(lambda: processors.num_waiting == 1)
            stopping = pool.submit(thread.stop, HANGS_S)
        stopping.result(HANGS_S)
    assert [type(end) for report in reports for end in report.ends] == [RowResult]
    assert not deaths
    with processors.turns().turn(2):
        pass


def test_an_engine_that_waits_for_its_turn_ends_with_it(generator: Path) -> None:
    processors = Processors(2)
    reports: list[Report] = []
    deaths: list[BaseException] = []
    thread = EngineThread("waits", engine(generator, processors.turns()), reports.append, deaths.append)
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        with processors.turns().turn(2):
            thread.submit(Request("r", (5, 6, 7), SamplingParams(max_tokens=200, ignore_eos=True), 0))
            eventually(lambda: processors.num_waiting == 1)
            thread.cancel("r")
            stopping = pool.submit(thread.stop, HANGS_S)
        stopping.result(HANGS_S)
    assert not deaths
    with processors.turns().turn(2):
        pass


def test_rows_that_fail_in_turn_fail_alone(classifier: Path) -> None:
    processors = Processors(2)
    part, other = load(classifier, processors.turns()), load(classifier, processors.turns())
    reports: list[BatchReport] = []
    thread = BatchThread("fails", part.runner, part.limits, reports.append, lambda error: None, part.probe)  # type: ignore[arg-type]
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(lambda: [other.runner.run([probe_row(other.manifest)]) for _ in range(50)])
        thread.submit([poison(part), probe_row(part.manifest)])
        eventually(lambda: sum(len(report.ends) for report in reports) == 2)
        busy.result(HANGS_S)
    thread.stop()
    ends = sorted(type(end).__name__ for report in reports for end in report.ends)
    assert ends == [RowFailure.__name__, RowResult.__name__]
