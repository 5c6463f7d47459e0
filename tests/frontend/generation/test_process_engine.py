"""The front end over an engine in another process: what holds for a thread's holds for it, test by test."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attendant.core.errors import EngineDead
from attendant.engine.client import EngineClient
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.service import GenerationService
from attendant.models.engine_process import EngineProcess
from attendant.models.generators import GeneratorPart

from tests.frontend.generation import helpers, test_grammars, test_hub, test_service
from tests.frontend.generation.helpers import LONG, call, collect, hubs, load, num_active, wait_until, with_service
from tests.frontend.generation.process_engine import engine_process
from tests.frontend.generation.test_hub import taken
from tests.frontend.generation.test_service import bundle

__all__ = ["bundle", "taken"]  # fixtures

OF_THE_SERVICE = (
    test_service.test_several_sequences_differ_and_share_the_prompt,
    test_service.test_a_stop_string_ends_the_text_before_it,
    test_service.test_logprobs_come_with_their_tokens,
    test_service.test_cancelling_the_task_ends_queued_and_running_work,
    test_service.test_a_full_queue_refuses_at_once_and_says_when_to_retry,
    test_service.test_a_failed_step_fails_its_requests_and_the_engine_lives,
    test_service.test_draining_finishes_what_runs_and_refuses_the_rest,
    test_service.test_what_outlives_the_drain_limit_fails,
    test_grammars.test_several_sequences_and_beams,
    test_grammars.test_rules_that_leave_nothing_fail_their_call_and_no_other,
)
OF_THE_HUB = (
    test_hub.test_an_answer_in_one_piece_does_not_wake_the_loop_for_each_token,
    test_hub.test_one_who_waits_for_tokens_gets_them_beside_those_who_do_not,
)


@pytest.fixture(autouse=True)
def children(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EngineProcess]]:
    """Every engine of a test is in a process of its own; they are listed as they are made, and gone afterwards."""
    made: list[EngineProcess] = []

    def clients_of(model: GeneratorPart) -> list[EngineClient]:
        clients: list[EngineClient] = []
        for engine in model.engines:
            made.append(engine_process(bundle))
            clients += made[-1].clients()
            assert clients[-1].facts == engine.facts("synthetic-0")
            assert made[-1].pid != os.getpid()
        return clients

    monkeypatch.setattr(helpers, "clients_of", clients_of)
    yield made
    assert all(process.wait(300) for process in made)


@pytest.mark.parametrize("test", OF_THE_SERVICE, ids=lambda test: test.__name__)
def test_of_the_service(test: Callable[[Path], None], bundle: Path, children: list[EngineProcess]) -> None:
    test(bundle)
    assert [child.wait(300) for child in children] == [True]


@pytest.mark.parametrize("test", OF_THE_HUB, ids=lambda test: test.__name__)
def test_of_the_hub(test: Callable[[Path, list[int]], None], bundle: Path, taken: list[int]) -> None:
    test(bundle, taken)


def test_a_passed_deadline_is_the_same_moment_there(bundle: Path) -> None:
    test_service.test_a_passed_deadline_fails_and_frees(bundle, 4)


def test_a_process_that_is_killed_is_a_dead_engine(bundle: Path, children: list[EngineProcess]) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(6)]
        hub: ModelHub = hubs(service)[0]
        await wait_until(lambda: hub._latest[0].num_running > 0)
        os.kill(children[0].pid, signal.SIGSEGV)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineDead)
        assert num_active(service) == 0
        with pytest.raises(EngineDead):
            await collect(service, call())

    deaths = with_service(bundle, test)
    assert [(name, str(error)) for name, error in deaths] == [
        ("synthetic", "the process of synthetic was ended by SIGSEGV")
    ]


def test_an_answer_is_the_same_to_the_bit(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    async def test(service: GenerationService) -> None:
        wanted = call("hello", 40, temperature=1.2, seed=11, logprobs=3)
        found.append([part async for part in service.generate(wanted) if hasattr(part, "logprobs")])

    with_service(bundle, test)
    monkeypatch.setattr(helpers, "clients_of", helpers.engine_clients)
    with_service(bundle, test)
    assert _flat(found[0]) == _flat(found[1])
    assert load(bundle).engines


def _flat(parts: object) -> list[object]:
    assert isinstance(parts, list)
    return [(part.index, entry) for part in parts for entry in part.logprobs]
