"""One model on two real engines: answers, cancels, a death, and figures that are those of the model."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from attendant.core.errors import Draining, EngineDead, QueueFull
from attendant.core.generation import Delta, GenerationCall, TokenPrompt
from attendant.core.request import FinishReason
from attendant.engine.engine import Engine
from attendant.frontend.generation.router import PIECE_TOKENS
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.models.generators import GeneratorPart
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import LONG, call, collect, drain, hubs, load, wait_until, with_model
from tests.synthetic import make_synthetic_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", eos_bias=-50, context_length=2048)


@pytest.fixture
def model(bundle: Path) -> GeneratorPart:
    return load(bundle, num_engines=2)


class Spy:
    """What each engine was told."""

    def __init__(self, model: GeneratorPart, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submitted: dict[int, list[str]] = defaultdict(list)
        self.cancelled: dict[int, list[str]] = defaultdict(list)
        for index, engine in enumerate(model.engines):
            self._listen(monkeypatch, engine, "submit", self.submitted[index], lambda request: request.id)
            self._listen(monkeypatch, engine, "cancel", self.cancelled[index], lambda id_: id_)

    @staticmethod
    def _listen(
        monkeypatch: pytest.MonkeyPatch, engine: Engine, name: str, heard: list[str], id_of: Callable[..., str]
    ) -> None:
        tell = getattr(engine, name)

        def told(what: object) -> None:
            heard.append(id_of(what))
            tell(what)

        monkeypatch.setattr(engine, name, told)


@pytest.fixture
def spy(model: GeneratorPart, monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(model, monkeypatch)


def loads(service: GenerationService) -> tuple[int, ...]:
    return hubs(service)[0]._router.loads


def test_every_answer_is_that_of_an_idle_engine(bundle: Path) -> None:
    calls = [call("ab"[i % 2] * (40 * i + 1), 30, n=1 + i % 3, temperature=1.2, seed=i) for i in range(8)]
    answers: list[dict[int, str]] = []

    async def alone(service: GenerationService) -> None:
        for each in calls:
            answers.append((await collect(service, each))[0])

    async def together(service: GenerationService) -> None:
        found = await asyncio.gather(*(collect(service, each) for each in calls))
        assert [texts for texts, _ in found] == answers
        for each, (_, ends) in zip(calls, found, strict=True):
            assert {i: end.reason for i, end in ends.items()} == dict.fromkeys(range(each.n), FinishReason.LENGTH)

    sequences = sum(each.n for each in calls)
    with_model(load(bundle, prefix_cache=False), alone)
    with_model(load(bundle, num_engines=2, max_queue=sequences), together)


def test_both_engines_work(model: GeneratorPart, spy: Spy) -> None:
    async def test(service: GenerationService) -> None:
        await asyncio.gather(*(collect(service, call()) for _ in range(6)))
        assert [len(spy.submitted[engine]) for engine in (0, 1)] == [3, 3]
        assert loads(service) == (0, 0)

    with_model(model, test)


def test_the_sequences_of_a_call_go_where_its_prompt_is(model: GeneratorPart, spy: Spy) -> None:
    length = 2 * PIECE_TOKENS

    async def test(service: GenerationService) -> None:
        _, ends = await collect(service, call("x" * length, n=4))
        assert len(spy.submitted[0]) == 4
        assert all(ends[i].usage.cached_tokens >= length - 16 for i in (1, 2, 3))
        _, ends = await collect(service, call("x" * length + "y"))
        assert ends[0].usage.cached_tokens >= length - 16

    with_model(model, test)


def test_more_sequences_than_an_engine_runs_spill_over(model: GeneratorPart, spy: Spy) -> None:
    async def test(service: GenerationService) -> None:
        await collect(service, call("x" * 2 * PIECE_TOKENS, 200, n=8))
        assert [len(spy.submitted[engine]) for engine in (0, 1)] == [4, 4]

    with_model(model, test)


def test_cancel_reaches_the_engine_that_has_the_sequence(model: GeneratorPart, spy: Spy) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(6)]
        await wait_until(lambda: loads(service) == (3, 3))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: loads(service) == (0, 0))
        assert [len(spy.cancelled[engine]) for engine in (0, 1)] == [3, 3]
        assert all(spy.cancelled[engine] == spy.submitted[engine] for engine in (0, 1))
        assert not any(engine.has_work for engine in model.engines)

    with_model(model, test)


def test_the_death_of_one_engine_is_the_death_of_the_model(
    model: GeneratorPart, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = model.engines

    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(6)]
        await wait_until(lambda: loads(service) == (3, 3))
        monkeypatch.setattr(second._scheduler, "schedule", lambda now: 1 / 0)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineDead)
        assert not hubs(service)[0].ready
        assert loads(service) == (0, 0)
        with pytest.raises(EngineDead):
            await collect(service, call())
        await wait_until(lambda: not first.has_work)

    deaths = with_model(model, test)
    assert [(name, type(error)) for name, error in deaths] == [("synthetic", ZeroDivisionError)]


def test_the_death_of_both_is_reported_once(model: GeneratorPart, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(4)]
        await wait_until(lambda: loads(service) == (2, 2))
        for engine in model.engines:
            monkeypatch.setattr(engine._scheduler, "schedule", lambda now: 1 / 0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {EngineDead}

    assert len(with_model(model, test)) == 1


def test_places_and_draining_count_all_engines(model: GeneratorPart) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(16)]
        await wait_until(lambda: loads(service) == (8, 8))
        with pytest.raises(QueueFull) as caught:
            await collect(service, call())
        assert caught.value.limit == 16
        await drain(service, 0.02)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, Draining)

    with_model(model, test)


def test_gauges_are_sums_over_the_engines(model: GeneratorPart) -> None:
    registry = CollectorRegistry()

    def value(name: str) -> float:
        found = registry.get_sample_value(f"attendant_{name}", {"model_name": "synthetic"})
        assert found is not None
        return found

    async def test(service: GenerationService) -> None:
        hub = hubs(service)[0]
        capacity = sum(engine.kv_capacity_tokens for engine in model.engines)
        await collect(service, call(max_tokens=2))  # an engine that has not run yet counts with its memory
        assert sum(stats.kv_capacity_tokens for stats in hub._latest) == capacity
        tasks = [asyncio.create_task(collect(service, LONG)) for _ in range(12)]
        await wait_until(lambda: (value("num_requests_running"), value("num_requests_waiting")) == (8, 4))
        used = [stats.kv_used_tokens for stats in hub._latest]
        assert all(used)
        assert value("kv_cache_usage_perc") == sum(used) / capacity
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: value("num_requests_running") == value("kv_cache_usage_perc") == 0)
        assert value("num_requests_waiting") == 0

    with_model(model, test, Metrics(registry))


def test_tokens_of_all_engines_are_counted(model: GeneratorPart, spy: Spy) -> None:
    registry = CollectorRegistry()

    async def test(service: GenerationService) -> None:
        num_tokens = 0
        async for part in service.generate(GenerationCall("", TokenPrompt((7, 8, 9)), max_tokens=20, n=6)):
            num_tokens += len(part.token_ids) if isinstance(part, Delta) else 0
        assert num_tokens == 120
        assert all(spy.submitted[engine] for engine in (0, 1))

    with_model(model, test, Metrics(registry))
    labels = {"model_name": "synthetic"}
    assert registry.get_sample_value("attendant_generation_tokens_total", labels) == 120
    assert registry.get_sample_value("attendant_step_batch_size_sum", labels) == 120 - 6
