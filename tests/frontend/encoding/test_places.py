"""Places for a call's later rows: who waits for them, who is refused, and who gives up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from attendant.core.errors import Draining, EngineDead, QueueFull
from attendant.frontend.encoding.hub import EncoderHub
from attendant.models.encoders import EncoderPart

from tests.batching.helpers import FakeRunner, row
from tests.frontend.encoding.hub_helpers import begun, held, load, with_hub
from tests.frontend.generation.helpers import wait_until
from tests.synthetic_encoder import make_text_encoder


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def fake(tmp_path: Path, runner: FakeRunner) -> EncoderPart:
    """A model that holds ten rows."""
    return replace(load(make_text_encoder(tmp_path / "moods")), runner=runner, max_rows=10)  # type: ignore[arg-type]


def test_later_rows_of_a_call_wait_for_places(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        call = await begun(hub, runner)
        first = await held(hub, runner)
        eight = [row() for _ in range(8)]
        others = asyncio.create_task(hub.run(eight))
        await asyncio.sleep(0)
        later = [asyncio.create_task(call.run([row() for _ in range(count)])) for count in (4, 1, 9)]
        await asyncio.sleep(0)
        assert hub.gate.taken == 9, "none has places, and the second waits for the first"
        with pytest.raises(QueueFull):
            await hub.run([row()])  # a new call does not get in before those that wait
        with pytest.raises(QueueFull):
            await hub.admit().run([row()])
        assert not any(task.done() for task in later)
        runner.gate.set()
        assert [len(results) for results in await asyncio.gather(first, others, *later)] == [1, 8, 4, 1, 9]
        assert len(await hub.run([row() for _ in range(10)])) == 10, "all places are free again"

    with_hub(fake, test)


def test_a_call_that_is_refused_has_not_begun(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        call = hub.admit()
        for _ in range(2):
            with pytest.raises(QueueFull):
                await call.run([row() for _ in range(10)])
        runner.gate.set()
        await first
        await wait_until(lambda: hub.gate.taken == 0)
        assert len(await call.run([row() for _ in range(10)])) == 10

    with_hub(fake, test)


def test_rows_that_wait_for_places_can_be_given_up(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        call = await begun(hub, runner)
        first = await held(hub, runner)
        large, small = (asyncio.create_task(call.run([row() for _ in range(count)])) for count in (10, 9))
        await asyncio.sleep(0)
        assert hub.gate.taken == 1
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large
        assert hub.gate.taken == 10, "those behind them go on"
        runner.gate.set()
        assert (len(await first), len(await small)) == (1, 9)
        assert sum(map(len, runner.batches)) == 11

    with_hub(fake, test)


@pytest.mark.parametrize("how", ["closed", "died"])
def test_rows_that_wait_for_places_fail_with_the_others(fake: EncoderPart, runner: FakeRunner, how: str) -> None:
    runner.error = SystemExit("told to die")

    async def test(hub: EncoderHub) -> None:
        call = await begun(hub, runner)
        first = await held(hub, runner)
        second = asyncio.create_task(hub.run([row(value=-1)]))
        await asyncio.sleep(0)
        ten = [row() for _ in range(10)]
        outside = asyncio.create_task(call.run(ten))
        await asyncio.sleep(0)
        closed = asyncio.create_task(hub.close() if how == "closed" else asyncio.sleep(0))
        await asyncio.sleep(0.01)
        runner.gate.set()
        await closed
        assert len(await first) == 1
        for task in (second, outside, asyncio.create_task(call.run([row()]))):
            with pytest.raises(Draining if how == "closed" else EngineDead):
                await task

    assert len(with_hub(fake, test)) == (how == "died")
