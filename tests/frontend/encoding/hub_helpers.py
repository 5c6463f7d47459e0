"""A hub over a tiny encoder, and calls that are at a known point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from attendant.core.encoding import Row
from attendant.frontend.encoding.hub import AdmittedCall, EncoderHub
from attendant.metrics import Metrics
from attendant.models.clients import batch_client
from attendant.models.encoders import EncoderPart
from attendant.settings import AdmissionSettings
from prometheus_client import CollectorRegistry

from tests.batching.helpers import FakeRunner, row
from tests.frontend.encoding import helpers

Test = Callable[[EncoderHub], Awaitable[None]]
Deaths = list[tuple[str, BaseException]]


def load(bundle: Path) -> EncoderPart:
    """Load a bundle in small batches."""
    return helpers.load(bundle, max_batch_tokens=512, max_queue=6000)


def with_hub(
    model: EncoderPart,
    test: Test,
    registry: CollectorRegistry | None = None,
    admission: AdmissionSettings | None = None,
) -> Deaths:
    deaths: Deaths = []

    async def main() -> None:
        metrics = Metrics(registry or CollectorRegistry())
        batches = batch_client(model)
        hub = EncoderHub(model, batches, metrics, lambda name, error: deaths.append((name, error)), admission)
        await hub.start()
        try:
            await asyncio.wait_for(test(hub), 300)
        finally:
            if isinstance(model.runner, FakeRunner):
                model.runner.gate.set()
            await hub.close()
        assert hub.gate.taken == 0

    asyncio.run(main())
    return deaths


def text_rows(seed: int, count: int, longest: int = 60) -> list[Row]:
    chance = np.random.default_rng(seed)
    return [
        Row(f"{seed}-{i}", {"input_ids": chance.integers(0, 300, n)}, int(n), time.monotonic_ns())
        for i, n in enumerate(chance.integers(1, longest, count))
    ]


async def held(hub: EncoderHub, runner: FakeRunner) -> asyncio.Task[Any]:
    """A call that runs until the gate opens, so that what is handed over now waits."""
    runner.hold()
    task = asyncio.create_task(hub.run([row()]))
    await asyncio.to_thread(runner.wait_until_running)
    return task


async def begun(hub: EncoderHub, runner: FakeRunner) -> AdmittedCall:
    """A call whose first row has ended."""
    call = hub.admit()
    await call.run([row()])
    runner.wait_until_running()  # so that the next wait is for the next run
    return call
