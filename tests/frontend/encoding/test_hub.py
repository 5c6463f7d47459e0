"""Calls of many rows on the event loop: order, failures, cancels and death."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.encoding import Row
from attendant.core.errors import DeadlineExceeded, Draining, EngineDead, InvalidRequest, QueueFull, StepFailed
from attendant.frontend.encoding.hub import EncoderHub
from attendant.models.encoders import EncoderPart
from prometheus_client import CollectorRegistry

from tests.batching.helpers import FakeRunner, row
from tests.frontend.encoding.hub_helpers import held, load, text_rows, with_hub
from tests.frontend.generation.helpers import wait_until
from tests.synthetic_encoder import POISON, expected_row, make_text_encoder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> EncoderPart:
    return load(make_text_encoder(tmp_path_factory.mktemp("b") / "moods"))


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> EncoderPart:
    return load(make_text_encoder(tmp_path_factory.mktemp("b") / "moods", layout="padded"))


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def fake(packed: EncoderPart, runner: FakeRunner) -> EncoderPart:
    """A model that holds ten rows."""
    return replace(packed, runner=runner, max_rows=10)  # type: ignore[arg-type]


def test_five_thousand_rows_of_one_call_come_back_in_order(packed: EncoderPart) -> None:
    rows = text_rows(1, 5000)

    async def test(hub: EncoderHub) -> None:
        results = await hub.run(rows)
        assert [result.id for result in results] == [one.id for one in rows]
        for one, result in zip(rows, results, strict=True):
            np.testing.assert_array_equal(result.outputs["logits"], expected_row(one.arrays["input_ids"], 3))

    with_hub(packed, test)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_batched_equals_isolated_under_random_arrivals(layout: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(layout)

    async def client(hub: EncoderHub, seed: int) -> None:
        chance = random.Random(seed)
        for number in range(10):
            await asyncio.sleep(chance.random() * 0.003)
            rows = text_rows(1000 * seed + number, chance.randint(1, 9), 200)
            for one, result in zip(rows, await hub.run(rows), strict=True):
                (alone,) = model.runner.run([one])
                np.testing.assert_array_equal(result.outputs["logits"], alone["logits"])

    async def test(hub: EncoderHub) -> None:
        await asyncio.gather(*(client(hub, seed) for seed in range(16)))

    with_hub(model, test)


def test_a_poisoned_row_fails_its_call_and_no_other(packed: EncoderPart) -> None:
    poisoned = [*text_rows(1, 5), Row("bad", {"input_ids": np.array([POISON])}, 1, time.monotonic_ns())]

    async def test(hub: EncoderHub) -> None:
        others = [hub.run(text_rows(seed, 7)) for seed in range(2, 6)]
        found: list[Any] = await asyncio.gather(*others, hub.run(poisoned), return_exceptions=True)
        assert isinstance(found.pop(), StepFailed)
        assert [len(results) for results in found] == [7] * 4
        await wait_until(lambda: hub.gate.taken == 0)
        assert len(await hub.run(text_rows(7, 3))) == 3

    assert with_hub(packed, test) == []


def test_nothing_is_nothing(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        assert await hub.run([]) == []

    with_hub(fake, test)
    assert runner.batches == []


def test_a_full_queue_refuses_and_takes_again(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        many = [row() for _ in range(8)]
        eight = asyncio.create_task(hub.run(many))
        await asyncio.sleep(0)
        assert hub.gate.taken == 9
        with pytest.raises(QueueFull, match="already holds 10") as caught:
            await hub.run([row(), row()])
        assert 0.05 <= caught.value.retry_after_s <= 30
        assert hub.gate.taken == 9, "a refused call takes no places"
        third = asyncio.create_task(hub.run([row()]))
        await asyncio.sleep(0)
        runner.gate.set()
        await asyncio.gather(first, eight, third)
        assert hub.gate.taken == 0
        await hub.run([row() for _ in range(10)])
        with pytest.raises(InvalidRequest, match="make 11 rows; allowed: at most 10 in one call"):
            await hub.run([row() for _ in range(11)])

    with_hub(fake, test)


def test_a_cancelled_call_leaves_the_queue(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        waiting = [row() for _ in range(4)]
        second = asyncio.create_task(hub.run(waiting))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        runner.gate.set()
        await first
        await wait_until(lambda: hub.gate.taken == 0)
        assert len(runner.batches) == 1

    with_hub(fake, test)


def test_a_call_that_is_cancelled_while_it_runs_gives_its_places_back_after_the_run(
    fake: EncoderPart, runner: FakeRunner
) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert hub.gate.taken == 1
        runner.gate.set()
        await wait_until(lambda: hub.gate.taken == 0)

    with_hub(fake, test)


def test_a_row_that_expires_ends_its_call(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        late = [row(deadline_ns=time.monotonic_ns() + 1000), row(400), row(401)]  # too different to go together
        second = asyncio.create_task(hub.run(late))
        await asyncio.sleep(0.002)
        runner.gate.set()
        with pytest.raises(DeadlineExceeded):
            await second
        await first
        await wait_until(lambda: hub.gate.taken == 0)

    with_hub(fake, test)


def test_a_hub_that_is_closed_fails_what_waits(fake: EncoderPart, runner: FakeRunner) -> None:
    async def test(hub: EncoderHub) -> None:
        first = await held(hub, runner)
        second = asyncio.create_task(hub.run([row()]))
        await asyncio.sleep(0)
        closed = asyncio.create_task(hub.close())
        inbox = hub._batches._thread._inbox  # type: ignore[attr-defined]
        await wait_until(lambda: inbox.qsize() == 2)  # the second call's row, and the word to stop
        runner.gate.set()
        await closed
        assert len(await first) == 1
        with pytest.raises(Draining, match="has shut down"):
            await second

    with_hub(fake, test)


def test_a_dead_thread_fails_every_call_and_is_told(fake: EncoderPart, runner: FakeRunner) -> None:
    runner.error = SystemExit("told to die")

    async def test(hub: EncoderHub) -> None:
        assert hub.ready
        first = await held(hub, runner)
        second = asyncio.create_task(hub.run([row(value=-1), row()]))
        await asyncio.sleep(0)
        runner.gate.set()
        assert len(await first) == 1
        with pytest.raises(EngineDead):
            await second
        assert not hub.ready
        with pytest.raises(EngineDead):
            await hub.run([row()])

    assert with_hub(fake, test) == [("moods", runner.error)]


def test_what_is_counted(fake: EncoderPart, runner: FakeRunner) -> None:
    registry = CollectorRegistry()

    def value(name: str, **labels: str) -> float | None:
        found = {"model_name": "moods", "task": "classify", **labels}
        return registry.get_sample_value(f"attendant_encoder_{name}", found)

    async def test(hub: EncoderHub) -> None:
        assert value("batch_rows_count") == value("row_failures_total", error="step_failed") == 0
        first = await held(hub, runner)
        second = asyncio.create_task(hub.run([row(60), row(50)]))
        await asyncio.sleep(0)
        assert (value("rows_running"), value("rows_waiting")) == (1, 2)
        await asyncio.sleep(0.01)
        runner.gate.set()
        await asyncio.gather(first, second)
        assert (value("rows_running"), value("rows_waiting")) == (0, 0)
        assert (value("batch_rows_count"), value("batch_rows_sum")) == (2, 3)
        assert (value("batch_tokens_sum"), value("padding_tokens_total")) == (113, 10)
        assert value("compute_seconds_count") == 2
        assert value("queue_seconds_count") == 3
        assert value("queue_seconds_sum") >= 0.02
        with pytest.raises(StepFailed):
            await hub.run([row(value=-1)])
        assert value("row_failures_total", error="step_failed") == 1

    with_hub(replace(fake, limits=replace(fake.limits, layout="padded")), test, registry)
