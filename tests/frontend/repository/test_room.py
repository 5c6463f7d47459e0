"""What versions of a model take, and how they are counted: together, and nothing of one that left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from attendant.core.errors import (
    ModelFailed,
)
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.memory import processor_memory
from attendant.settings import EngineSettings, RepositorySettings
from prometheus_client import CollectorRegistry

from tests.frontend.generation.helpers import collect, wait_until
from tests.frontend.repository.helpers import (
    ENDLESS,
    Loader,
    ask,
    index,
    put,
    served,
    with_repository,
)
from tests.synthetic_encoder import make_text_encoder


def test_room_is_kept_for_a_version_that_comes_later(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    put(bundle, folder / "other", "1")
    make_text_encoder(folder / "moods")

    async def shares(**settings: Any) -> int:
        told = RepositorySettings(**settings)
        front_end = FrontEnd(Metrics(CollectorRegistry()), print, repository=told, folder=folder)
        try:
            return await front_end.repository.survey()
        finally:
            await front_end.close()

    assert asyncio.run(shares()) == 3, "two that generate, and one that comes"
    assert asyncio.run(shares(policy="all")) == 4
    assert asyncio.run(shares(control="none")) == 2
    assert asyncio.run(shares(control="explicit", load=("demo@1",))) == 2
    assert asyncio.run(shares(control="explicit", load=())) == 1


def test_two_versions_are_told_as_one_model_and_nothing_of_the_one_that_left(endless: Path, folder: Path) -> None:
    put(endless, folder / "demo", "1")
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"attendant_{name}", {"model_name": "demo"})

    async def test(front_end: FrontEnd) -> None:
        calls = [asyncio.create_task(collect(front_end.generation, ask("demo@1", ENDLESS))) for _ in range(2)]
        await wait_until(lambda: value("num_requests_running") == 2)
        put(endless, folder / "demo", "2")
        await front_end.repository.load("demo", "2")
        series = metrics.render()[0].count(b"\n")
        calls.append(asyncio.create_task(collect(front_end.generation, ask("demo", ENDLESS))))
        await wait_until(lambda: value("num_requests_running") == 3)
        assert list(metrics.counts()) == ["demo"]
        assert metrics.counts()["demo"].running == 3
        for call in calls[:2]:
            call.cancel()
        await front_end.repository.unload("demo", "1", 60)
        await wait_until(lambda: value("num_requests_running") == 1)
        calls[2].cancel()
        await front_end.repository.unload("demo", "2", 60)
        assert (value("num_requests_running"), value("kv_cache_usage_perc")) == (0, 0)
        assert value("model_ready") is None
        await front_end.repository.load("demo", "1")
        assert metrics.render()[0].count(b"\n") <= series
        assert "demo@" not in metrics.render()[0].decode()

    with_repository(folder, test, metrics=metrics)


def test_the_memory_of_two_versions_is_two_holdings(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1", "2")
    loader = Loader(kv_memory=10**6, kv_memory_fraction=0.9)

    async def test(front_end: FrontEnd) -> None:
        await front_end.repository.load("demo", "1")
        held = loader.ledger.holdings("the CPU")
        assert set(held) == {"demo@1", "demo@2"}
        await front_end.repository.unload("demo", "2")
        assert set(loader.ledger.holdings("the CPU")) == {"demo@1"}

    with_repository(folder, test, loader=loader)


def test_a_version_that_does_not_fit_says_who_holds_what(bundle: Path, folder: Path) -> None:
    put(bundle, folder / "demo", "1")
    whole = processor_memory(EngineSettings()).total
    loader = Loader(kv_memory=whole)

    async def test(front_end: FrontEnd) -> None:
        held = loader.ledger.holdings("the CPU")["demo@1"].granted
        put(bundle, folder / "demo", "2")
        told = f"needs {whole:,} bytes on the CPU; {whole - held:,} are left: 'demo@1' holds {held:,}"
        with pytest.raises(ModelFailed, match=f"model 'demo@2' is not served: model 'demo@2' {told}"):
            await front_end.repository.load("demo", "2")
        assert served(front_end) == ["demo@1*"]
        assert index(front_end)["demo@2"] == ("failed", f"model 'demo@2' {told}")
        assert set(loader.ledger.holdings("the CPU")) == {"demo@1"}
        await front_end.repository.unload("demo", "1")
        await front_end.repository.load("demo")
        assert served(front_end) == ["demo@2*"]

    with_repository(folder, test, loader=loader)
