"""Steps that go wrong while others run beside them, in an engine on a thread and in one with a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attendant.core.errors import AttendantError, EngineDead, StepFailed
from attendant.core.generation import Delta, GenerationCall, TokenPrompt
from attendant.frontend.generation.service import GenerationService
from attendant.frontend.watchdog import Watchdog
from attendant.metrics import Metrics
from attendant.models.engine_process import EngineProcess
from attendant.models.generators import GeneratorPart
from attendant.settings import LifecycleSettings

from tests.frontend.generation.helpers import LONG, collect, hubs, load, num_active, table, wait_until, with_model
from tests.synthetic import make_slow_bundle, make_synthetic_bundle

NAN, POISON = 4, 3
"""Special tokens, which are never generated."""
PROMPT = (10, 11, 12, 13, 14)
PLACES = pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoilt") / "bundle"
    return make_synthetic_bundle(folder, nan_at=(NAN, 5), poison_token=POISON, eos_bias=-1e4, ragged=True)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No descriptor, thread or process more than before."""
    before = _taken()
    yield
    _eventually_as(before)


def _taken() -> tuple[int, int]:
    """Descriptors, and threads of this process that are no pool's, which stay."""
    own = [thread for thread in threading.enumerate() if not thread.name.startswith(("ThreadPool", "asyncio_"))]
    return len(os.listdir("/proc/self/fd")), len(own)


def _eventually_as(before: tuple[int, int]) -> None:
    for _ in range(600):
        if all(now <= then for now, then in zip(_taken(), before, strict=True)):
            return
        threading.Event().wait(0.1)
    raise AssertionError(f"{before} became {_taken()}: {threading.enumerate()}")


def loaded(bundle: Path, *, process: bool, **settings: Any) -> GeneratorPart:
    model = load(bundle, process=process, threads=1, **settings)
    assert isinstance(model.process, EngineProcess) is process
    return model


def call(*prompt: int, **fields: object) -> GenerationCall:
    return GenerationCall("", TokenPrompt(prompt), max_tokens=24, **fields)  # type: ignore[arg-type]


async def end_of(service: GenerationService, wanted: GenerationCall) -> str | AttendantError:
    try:
        return (await collect(service, wanted))[0][0]
    except AttendantError as error:
        return error


@PLACES
@pytest.mark.parametrize(
    "bad",
    [
        (call(*PROMPT, NAN), "not finite"),
        (call(*PROMPT, NAN, 12, *range(20, 90), temperature=1.0, seed=1, top_k=5), "not finite"),
        (call(POISON, 10, 11), "the model run of this request failed"),
    ],
    ids=["greedy", "sampled", "raises"],
)
def test_what_goes_wrong_for_one_is_a_failed_step_of_its_own(
    process: bool, bad: tuple[GenerationCall, str], bundle: Path
) -> None:
    wanted, words = bad
    others = [call(*PROMPT), call(*PROMPT, 20, 21), call(30, 31, temperature=1.0, seed=7)]

    async def test(service: GenerationService) -> None:
        alone = [await end_of(service, other) for other in others]
        for _ in range(3):  # what was computed before is cached
            spoilt, *answers = await asyncio.gather(*(end_of(service, each) for each in (wanted, *others)))
            assert isinstance(spoilt, StepFailed)
            assert words in str(spoilt)
            assert answers == alone
        assert num_active(service) == 0
        assert hubs(service)[0]._latest[0].kv_used_tokens == 0

    assert with_model(loaded(bundle, process=process), test) == []


def test_numbers_that_are_none_in_the_middle_of_an_answer_end_it_there(tmp_path: Path) -> None:
    clean = make_synthetic_bundle(tmp_path / "clean", eos_bias=-1e4, ragged=True)
    found: list[tuple[int, ...]] = []

    async def answers(service: GenerationService) -> None:
        for wanted in (call(*PROMPT), call(*PROMPT, 20, 21)):
            found.append(tuple([token async for part in service.generate(wanted) for token in _tokens(part)]))

    with_model(load(clean), answers)
    at = (found[0][9], len(PROMPT) + 9)
    spoilt = make_synthetic_bundle(tmp_path / "spoilt", nan_at=at, eos_bias=-1e4, ragged=True)
    seen: list[int] = []

    async def spoil(service: GenerationService) -> None:
        async for part in service.generate(call(*PROMPT)):
            seen.extend(_tokens(part))

    async def test(service: GenerationService) -> None:
        beside = asyncio.create_task(collect(service, call(*PROMPT, 20, 21)))
        with pytest.raises(StepFailed, match="not finite"):
            await spoil(service)
        await beside
        again = tuple([token async for part in service.generate(call(*PROMPT, 20, 21)) for token in _tokens(part)])
        assert again == found[1]

    assert with_model(load(spoilt), test) == []
    assert tuple(seen) == found[0][:10]


def _tokens(part: object) -> tuple[int, ...]:
    return part.token_ids if isinstance(part, Delta) else ()


def test_a_process_that_hangs_is_ended_by_the_watchdog(tmp_path: Path) -> None:
    model = loaded(make_slow_bundle(tmp_path / "slow"), process=True)
    pid = model.process.pid

    async def test(service: GenerationService) -> None:
        async def changed() -> None:
            return

        tasks = [asyncio.create_task(end_of(service, LONG)) for _ in range(3)]
        await wait_until(lambda: hubs(service)[0]._latest[0].num_running == 3)
        dog = Watchdog(
            LifecycleSettings(watchdog_s=60), lambda: table(service).entries, Metrics(), changed, lambda name: None
        )
        await dog.look(60)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(4):
            await dog.look(60)
            await asyncio.sleep(0)
        ends = await asyncio.gather(*tasks)
        assert [type(end) for end in ends] == [EngineDead] * 3

    ((name, death),) = with_model(model, test)
    assert (name, str(death)) == ("slow", "the process of slow was ended by SIGKILL")
