"""The gate that every kind of calls has: who is let in, who waits, who hears what, and how a drain ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from attendant.core.errors import AttendantError, Draining, EngineDead, QueueFull
from attendant.frontend import admission
from attendant.frontend.admission import Gate, drain_all


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run ``test`` in an event loop of its own."""

    async def limited() -> None:
        await asyncio.wait_for(test(), 30)

    asyncio.run(limited())


class Part:
    """A visitor that writes down what it heard."""

    def __init__(self, num_places: int) -> None:
        self.num_places = num_places
        self.heard: list[AttendantError | str] = []

    def enter(self) -> None:
        self.heard.append("enter")

    def fail(self, error: AttendantError) -> None:
        self.heard.append(error)


def test_newcomers_are_refused_and_hear_when_to_come_again() -> None:
    async def test() -> None:
        gate = Gate("ears", 4, what="inputs", retry_after_s=lambda excess: excess * 0.5)
        gate.take(3)
        with pytest.raises(QueueFull, match="'ears' already holds 4 inputs") as caught:
            gate.take(2)
        assert (gate.taken, caught.value.retry_after_s) == (3, 0.5)
        gate.take()
        with pytest.raises(QueueFull) as caught:
            gate.take(1000)
        assert caught.value.retry_after_s == admission.MAX_RETRY_S
        gate.give_back(4)
        gate.take(4)

    run(test)


def test_visitors_enter_in_turn_and_before_newcomers() -> None:
    async def test() -> None:
        gate = Gate("ears", 4)
        gate.take(3)
        large, small, given_up = Part(3), Part(1), Part(1)
        for part in (large, small, given_up):
            gate.let_in_when_room(part)
        assert (gate.taken, gate.wanted) == (3, 5)
        with pytest.raises(QueueFull):
            gate.take(1)
        assert gate.give_up(given_up)
        gate.give_back(2)
        assert (large.heard, small.heard, gate.taken) == (["enter"], [], 4)
        assert not gate.give_up(large), "it is inside"
        gate.give_back(1)
        assert (small.heard, gate.taken, gate.wanted) == (["enter"], 4, 0)
        assert not given_up.heard

    run(test)


def test_a_drain_lets_inner_parts_in_and_waits_until_everybody_has_left() -> None:
    async def test() -> None:
        gate = Gate("ears", 4)
        gate.take()
        drained = asyncio.create_task(gate.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(Draining, match="takes no new requests"):
            gate.take()
        gate.take(inner=True)
        gate.give_back(2)
        assert await drained

    run(test)


def test_who_comes_when_a_drain_begins_is_let_in_and_waited_for() -> None:
    async def test() -> None:
        gate = Gate("ears", 4)
        with gate.coming():
            drained = asyncio.create_task(gate.drain(20))
            await asyncio.sleep(0)
            with pytest.raises(Draining), gate.coming():
                pytest.fail("it was refused")
            gate.take(inner=True)
        await asyncio.sleep(0)
        assert not drained.done()
        gate.give_back()
        assert await drained

    run(test)


def test_who_comes_too_late_for_a_drain_hears_so() -> None:
    async def test() -> None:
        gate = Gate("ears", 4)
        with gate.coming():
            drained = asyncio.create_task(gate.drain(0))
            await asyncio.sleep(0.01)
            with pytest.raises(Draining, match="did not finish within 0 s"):
                gate.take(inner=True)
        assert await drained

    run(test)


def test_who_outlives_a_drain_is_ended_with_the_reason() -> None:
    async def test() -> None:
        ended: list[Draining] = []

        def end(error: Draining) -> None:
            ended.append(error)
            gate.give_back()

        gate = Gate("ears", end_overdue=end)
        gate.take()
        assert await gate.drain(0.01)
        assert [str(error) for error in ended] == ["the server shut down and the request did not finish within 0.01 s"]

    run(test)


def test_who_is_stuck_does_not_hold_up_the_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LAST_WORDS_S", 0.01)

    async def test() -> None:
        gate = Gate("ears")
        gate.take()
        assert not await gate.drain(0.01)

    run(test)


def test_a_gate_drains_twice_where_a_model_leaves_as_the_server_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LAST_WORDS_S", 0.01)

    async def test() -> None:
        gate, go_on = Gate("ears"), asyncio.Event()

        async def slow_to_leave() -> None:
            async with gate.call():
                try:
                    await asyncio.sleep(99)
                finally:
                    await go_on.wait()

        task = asyncio.create_task(slow_to_leave())
        await asyncio.sleep(0)
        assert not await gate.drain(0.01)
        assert not await gate.drain(0.02)
        go_on.set()
        with pytest.raises(Draining, match=r"did not finish within 0\.01 s"):
            await task
        assert gate.taken == 0

    run(test)


def test_a_call_is_interrupted_where_it_stands() -> None:
    async def test() -> None:
        gates = Gate("ears"), Gate("eyes")

        async def stay(gate: Gate) -> None:
            async with gate.call():
                await asyncio.Event().wait()

        async def fail() -> None:
            async with gates[0].call():
                raise TimeoutError("its own")

        with pytest.raises(TimeoutError, match="its own"):
            await fail()
        calls = [asyncio.create_task(stay(gate)) for gate in gates]
        await asyncio.sleep(0)
        await drain_all(gates, 0.01)
        for call in calls:
            with pytest.raises(Draining, match=r"did not finish within 0\.01 s"):
                await call
        with pytest.raises(Draining, match="takes no new requests"):
            await stay(gates[0])

    run(test)


def test_a_gate_that_is_shut_lets_nobody_in() -> None:
    async def test() -> None:
        gate = Gate("ears", 1)
        gate.take()
        waiting = Part(1)
        gate.let_in_when_room(waiting)
        death = EngineDead("its engine has stopped")
        gate.shut(death)
        assert waiting.heard == [death]
        for inner in (False, True):
            with pytest.raises(EngineDead, match="its engine has stopped"):
                gate.take(inner=inner)
        gate.give_back()
        assert await gate.drain(1)

    run(test)
