"""What crosses from engines' threads to the event loop, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.frontend.generation.hub import HELD_NS, ModelHub
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import call, collect, hubs, load, num_active, wait_until, with_model
from tests.synthetic import make_synthetic_bundle

TOKENS = 600


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", eos_bias=-50, context_length=2048)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many reports there were each time the loop took some."""
    counts: list[int] = []
    real = ModelHub._take_reports

    def take(hub: ModelHub) -> None:
        counts.append(sum(map(len, hub._reports)))
        real(hub)

    monkeypatch.setattr(ModelHub, "_take_reports", take)
    return counts


def test_an_answer_in_one_piece_does_not_wake_the_loop_for_each_token(bundle: Path, taken: list[int]) -> None:
    registry = CollectorRegistry()

    async def test(service: GenerationService) -> None:
        streamed, _ = await collect(service, call(max_tokens=TOKENS))
        await wait_until(lambda: len(taken) >= TOKENS)  # some may wake it only after all was read
        taken.clear()
        whole, ends = await collect(service, call(max_tokens=TOKENS, whole=True))
        assert whole == streamed
        assert len(taken) <= 2 + ends[0].timings.total_ns // HELD_NS
        assert len(taken) < TOKENS / 4

    with_model(load(bundle), test, Metrics(registry))
    labels = {"model_name": "synthetic"}
    assert registry.get_sample_value("attendant_generation_tokens_total", labels) == 2 * TOKENS
    assert registry.get_sample_value("attendant_inter_token_latency_seconds_count", labels) == 2 * (TOKENS - 1)


def test_a_stop_string_is_looked_for_at_each_token(bundle: Path, taken: list[int]) -> None:
    async def test(service: GenerationService) -> None:
        text, _ = await collect(service, call(max_tokens=TOKENS))
        wanted = call(max_tokens=TOKENS, whole=True, stop=(text[0][100:103],))
        taken.clear()
        cut, ends = await collect(service, wanted)
        assert text[0].startswith(cut[0])
        assert len(taken) >= ends[0].usage.completion_tokens > 50
        taken.clear()
        await collect(service, replace(wanted, stop=()))
        assert len(taken) < TOKENS / 4

    with_model(load(bundle), test)


def test_one_who_waits_for_tokens_gets_them_beside_those_who_do_not(bundle: Path, taken: list[int]) -> None:

    async def test(service: GenerationService) -> None:
        both = await asyncio.gather(
            collect(service, call(max_tokens=TOKENS)), collect(service, call(max_tokens=TOKENS, whole=True))
        )
        assert both[0][0] == both[1][0]
        assert len(taken) >= TOKENS

    with_model(load(bundle), test)


def test_a_call_in_one_piece_that_is_given_up_leaves_nothing(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        hub = hubs(service)[0]
        tasks = [asyncio.create_task(collect(service, call(max_tokens=2000, whole=True))) for _ in range(6)]
        await wait_until(lambda: len(hub._can_wait) == 6)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: num_active(service) == 0)
        assert not hub._can_wait
        assert not any(hub._reports)

    with_model(load(bundle), test)
