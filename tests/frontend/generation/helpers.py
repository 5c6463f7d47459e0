"""A service over real engines, and short ways to call it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from attendant.bundle import read_manifest
from attendant.core.context import CallContext
from attendant.core.generation import Delta, Finish, GenerationCall, TextPrompt
from attendant.engine.client import EngineClient
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.models.clients import engine_clients
from attendant.models.generators import GeneratorPart, load_generator
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles
from attendant.models.table import ModelTable
from attendant.settings import AdmissionSettings, EngineSettings, LimitsSettings

clients_of: Callable[[GeneratorPart], Sequence[EngineClient]] = engine_clients
"""How the services of tests reach their engines."""


def with_service(
    bundle: Path, test: Callable[[GenerationService], Awaitable[None]], **settings: Any
) -> list[tuple[str, BaseException]]:
    """Run ``test`` against a started service of one engine; returns the engine deaths."""
    return with_model(load(bundle, **settings), test)


def load(bundle: Path, num_engines: int = 1, **settings: Any) -> GeneratorPart:
    """Load a bundle as often as there are engines, and make one model of it."""
    chosen = EngineSettings(**{"max_num_seqs": 4, "max_queue": 4, "spinning": False} | settings)
    loaded = [load_generator(bundle, read_manifest(bundle), chosen, verify=False) for _ in range(num_engines)]
    return replace(
        loaded[0],
        engines=tuple(engine for model in loaded for engine in model.engines),
        max_running=sum(model.max_running for model in loaded),
        max_requests=sum(model.max_requests for model in loaded),
    )


def with_model(
    model: GeneratorPart,
    test: Callable[[GenerationService], Awaitable[None]],
    metrics: Metrics | None = None,
    limits: LimitsSettings | None = None,
    admission: AdmissionSettings | None = None,
) -> list[tuple[str, BaseException]]:
    """Run ``test`` against a started service of ``model``; returns the engine deaths."""
    deaths: list[tuple[str, BaseException]] = []

    async def main() -> None:
        front_end = FrontEnd(
            metrics or Metrics(),
            lambda name, error: deaths.append((name, error)),
            limits=limits,
            admission=admission,
            engines=clients_of,
        )
        await front_end.start(LoadedBundles((LoadedModel.of(model),)))
        service = front_end.generation
        try:
            await asyncio.wait_for(test(service), 300)
            await wait_until(lambda: num_active(service) == 0)
        finally:
            await front_end.close()

    asyncio.run(main())
    return deaths


def num_active(service: GenerationService) -> int:
    """Sequences that wait or run."""
    return sum(hub.gate.taken for hub in hubs(service))


def hubs(service: GenerationService) -> list[ModelHub]:
    """What the models are run by."""
    serving = [entry.serving for entry in table(service).entries]
    return [served.generation for served in serving if served is not None and served.generation is not None]


def table(service: GenerationService) -> ModelTable[Any]:
    """The table that the service asks."""
    models = service._models
    assert isinstance(models, ModelTable)
    return models


async def drain(service: GenerationService, timeout_s: float) -> None:
    """Drain every model of the table that the service asks."""
    await table(service).drain(timeout_s)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what comes sooner or later. The limit is for a test that hangs."""
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.01)


async def collect(
    service: GenerationService, call: GenerationCall, context: CallContext | None = None
) -> tuple[dict[int, str], dict[int, Finish]]:
    texts: dict[int, str] = {}
    ends: dict[int, Finish] = {}
    prompts: dict[int, set[int]] = {}
    async for part in service.generate(call, context):
        assert part.index not in ends
        if isinstance(part, Delta):
            texts[part.index] = texts.get(part.index, "") + part.text
            prompts.setdefault(part.index, set()).add(part.prompt_tokens)
        else:
            ends[part.index] = part
            assert prompts[part.index] == {part.usage.prompt_tokens}, "every delta says what the end says"
    return texts, ends


def call(text: str = "hello", max_tokens: int | None = 8, **fields: Any) -> GenerationCall:
    return GenerationCall("", TextPrompt(text), max_tokens=max_tokens, **fields)


LONG = call(max_tokens=2000)


async def first_part(service: GenerationService, wanted: GenerationCall) -> None:
    async with aclosing(service.generate(wanted)) as parts:
        async for _ in parts:
            return
