"""A queue full of one tenant's rows has room for others; nobody has more rows than are allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attendant.core.encoding import Row
from attendant.core.errors import QueueFull
from attendant.frontend.encoding.hub import EncoderHub
from attendant.models.encoders import EncoderPart
from attendant.settings import AdmissionSettings

from tests.batching.helpers import FakeRunner, row
from tests.frontend.encoding.hub_helpers import held, load, with_hub
from tests.frontend.generation.helpers import wait_until
from tests.synthetic_encoder import make_text_encoder

PLACES = 16


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def fake(tmp_path: Path, runner: FakeRunner) -> EncoderPart:
    made = load(make_text_encoder(tmp_path / "moods"))
    return replace(made, runner=runner, max_rows=PLACES)  # type: ignore[arg-type]


def rows(tenant: str, count: int) -> list[Row]:
    return [row(tenant=tenant) for _ in range(count)]


async def full(hub: EncoderHub, runner: FakeRunner) -> list[asyncio.Task[Any]]:
    """Of one tenant's rows, and more of them wait for places."""
    tasks = [await held(hub, runner), asyncio.create_task(hub.run(rows("heavy", PLACES - 1)))]
    tasks.append(asyncio.create_task(hub.admit(patient=True).run(rows("heavy", 8))))
    await wait_until(lambda: hub.gate.taken == PLACES and hub.gate.wanted == 8)
    return tasks


async def over(runner: FakeRunner, tasks: Sequence[asyncio.Task[Any]]) -> None:
    runner.gate.set()
    await asyncio.gather(*tasks)


def test_a_queue_full_of_one_tenants_rows_has_room_for_others(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        tasks = await full(hub, runner)
        with pytest.raises(QueueFull, match=f"already holds {PLACES} inputs"):
            await hub.run(rows("heavy", 1))
        with pytest.raises(QueueFull, match=f"already holds {PLACES} inputs"):
            await hub.run(rows("middling", 3))  # more than an eighth
        tasks.append(asyncio.create_task(hub.run(rows("light", 2))))
        await wait_until(lambda: hub.gate.taken == PLACES + 2)
        with pytest.raises(QueueFull):  # an eighth there is, and no more
            await hub.run(rows("other", 1))
        await over(runner, tasks)
        assert len(await hub.run(rows("heavy", PLACES))) == PLACES, "all places are free again"

    with_hub(fake, test)


def test_nobody_has_room_where_tenants_do_not_share(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        tasks = await full(hub, runner)
        with pytest.raises(QueueFull):
            await hub.run(rows("light", 1))
        await over(runner, tasks)

    with_hub(fake, test, admission=AdmissionSettings(fair=False))


def test_a_tenant_has_no_more_rows_than_are_allowed(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        call = hub.admit()
        tasks = [first, asyncio.create_task(call.run(rows("heavy", 3)))]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="already holds 4 inputs of tenant 'heavy'") as caught:
            await hub.run(rows("heavy", 2))
        assert caught.value.retry_after_s > 0
        tasks.append(asyncio.create_task(hub.run(rows("heavy", 1))))
        tasks.append(asyncio.create_task(hub.run(rows("light", 4))))
        tasks.append(asyncio.create_task(call.run(rows("heavy", 4))))  # of a call that was let in
        await wait_until(lambda: hub.gate.taken == 13)
        await over(runner, tasks)
        assert len(await hub.run(rows("heavy", 4))) == 4, "what has ended counts no longer"

    with_hub(fake, test, admission=AdmissionSettings(max_tenant_rows=4))
