"""A model that is full of one tenant's requests makes room for others; nobody has more places than are allowed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attendant.core.context import CallContext
from attendant.core.errors import QueueFull
from attendant.frontend.generation.service import GenerationService
from attendant.settings import AdmissionSettings

from tests.frontend.generation.helpers import call, collect, load, num_active, wait_until, with_model
from tests.synthetic import make_synthetic_bundle

NUM_PLACES = 8
ENDLESS = call(max_tokens=60_000)
Task = asyncio.Task[Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "m", eos_bias=-1e4, context_length=65_536)


def of(tenant: str, priority: int = 0) -> CallContext:
    return replace(CallContext.new(), tenant=tenant, priority=priority)


def asked(service: GenerationService, tenant: str, priority: int = 0) -> Task:
    return asyncio.create_task(collect(service, ENDLESS, of(tenant, priority)))


async def full(service: GenerationService) -> list[Task]:
    tasks = []
    for number in range(NUM_PLACES):
        tasks.append(asked(service, "heavy", priority=1 if number == NUM_PLACES - 1 else 0))
        await wait_until(lambda: num_active(service) == len(tasks))
    return tasks


async def over(*tasks: Task) -> list[object]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_a_queue_full_of_one_tenant_makes_room_for_others(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        heavy = await full(service)
        light = [asked(service, "light", priority=1)]
        await wait_until(heavy[-2].done)
        assert [task.done() for task in heavy] == [False] * 6 + [True, False], "the youngest of the lowest priority"
        error = heavy[-2].exception()
        assert isinstance(error, QueueFull)
        assert error.retry_after_s > 0
        assert "most of them of this caller" in str(error)
        light += [asked(service, "light", priority=1) for _ in range(2)]
        await wait_until(lambda: sum(task.done() for task in heavy) == 3)
        with pytest.raises(QueueFull):  # half each: neither has more than the other
            await collect(service, ENDLESS, of("heavy"))
        await wait_until(lambda: num_active(service) == NUM_PLACES)
        assert not any(task.done() for task in light)
        await over(*heavy, *light)

    with_model(load(bundle), test)


@pytest.mark.parametrize(("fair", "priority"), [(False, 0), (True, -1)], ids=["not fair", "of a lower priority"])
def test_nobody_makes_room(bundle: Path, fair: bool, priority: int) -> None:
    async def test(service: GenerationService) -> None:
        heavy = await full(service)
        with pytest.raises(QueueFull, match=f"already holds {NUM_PLACES} requests"):
            await collect(service, ENDLESS, of("light", priority))
        assert not any(task.done() for task in heavy)
        await over(*heavy)

    with_model(load(bundle), test, admission=AdmissionSettings(fair=fair))


def test_a_tenant_has_no_more_places_than_are_allowed(bundle: Path) -> None:
    async def test(service: GenerationService) -> None:
        tasks = [asked(service, "a") for _ in range(3)]
        await wait_until(lambda: num_active(service) == 3)
        with pytest.raises(QueueFull, match="3 requests of tenant 'a'"):
            await collect(service, ENDLESS, of("a"))
        other = asked(service, "b")
        await wait_until(lambda: num_active(service) == 4)
        await over(*tasks, other)
        assert num_active(service) <= 4

    with_model(load(bundle), test, admission=AdmissionSettings(max_tenant_requests=3))
