"""Searches that lose their places at any moment, beside others, over a model in plain Python that notices any wrong
position: every hypothesis is the one that is found alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from attendant.core.beams import BeamParams
from attendant.core.fair_order import OrderRules
from attendant.core.request import Request
from attendant.engine.block_pool import BlockPool
from attendant.engine.chunking import ANYWHERE, AnyCuts
from attendant.engine.engine import Engine
from attendant.engine.limits import SchedulerLimits
from attendant.engine.pool import KVPool
from attendant.engine.scheduler import Scheduler
from attendant.engine.slot_pool import SlotPool

from tests.engine.helpers import BlockRunner, Collected, RecordingRunner, drain, request

CONTEXT, NUM_SEQS, PAGE = 48, 6, 4
SCARCE, PLENTY = 4 * CONTEXT, NUM_SEQS * CONTEXT
Key = tuple[int, int, int, int]  # family and length of the prompt, max_tokens, beams


def pages(capacity: int) -> tuple[KVPool, Any]:
    num_blocks, size = capacity // PAGE // 2 + 1, 2 * PAGE
    return BlockPool(NUM_SEQS, num_blocks, size, CONTEXT, min_prefix=1), BlockRunner(NUM_SEQS, num_blocks, size)


def slots(capacity: int) -> tuple[KVPool, Any]:
    return SlotPool(NUM_SEQS, CONTEXT, capacity, page_tokens=PAGE), RecordingRunner(NUM_SEQS, CONTEXT)


Make = Callable[[int], tuple[KVPool, Any]]


def made(make: Make, capacity: int, *, takes_places: bool = False, apart: bool = False) -> Engine:
    pool, runner = make(capacity)
    limits = SchedulerLimits(
        NUM_SEQS, 12, CONTEXT, (0, 1), rule=AnyCuts() if make is pages else ANYWHERE, prompts_apart=apart
    )
    return Engine(Scheduler(pool, limits, OrderRules(takes_places=takes_places)), runner)


def asked(id_: str, key: Key) -> Request:
    family, length, max_tokens, num_beams = key
    plain = request(id_, [10 * family + i // 5 for i in range(length)], max_tokens)
    if num_beams == 1:
        return plain
    names = tuple(id_ if number == 0 else f"{id_}.{number}" for number in range(num_beams))
    return replace(plain, beams=BeamParams(num_beams, num_beams), hypotheses=names)


@cache
def alone(make: Make, key: Key) -> list[tuple[list[int], str, int | None]]:
    engine, asks = made(make, PLENTY), asked("alone", key)
    engine.submit(asks)
    collected = drain(engine)
    return [collected.answer(name) for name in asks.hypotheses or ("alone",)]


@pytest.mark.parametrize("make", [slots, pages])
def test_whoever_loses_its_place_and_when_every_hypothesis_is_the_one_alone(make: Make) -> None:
    keys = [
        (family, length, limit, beams)
        for family in (1, 2)
        for length in (1, 2, 7, 20)
        for limit in (3, 9, 20)
        for beams in (1, 2, 3, 4)
    ]
    seen = {"searches": 0, "cancelled": 0, "lost": 0}
    for seed in range(24):
        chance = random.Random(seed)
        engine = made(make, SCARCE, takes_places=seed % 2 == 0, apart=seed % 3 == 0)
        places, collected = engine._scheduler._places, Collected()
        submitted: dict[str, tuple[Request, Key]] = {}
        for _ in range(120):
            drawn = chance.random()
            if drawn < 0.25:
                key = chance.choice(keys)
                asks = asked(f"r{len(submitted)}", key)
                submitted[asks.id] = asks, key
                engine.submit(replace(asks, tenant=chance.choice("ab"), priority=chance.choice((0, 0, 1))))
            elif drawn < 0.27 and submitted:
                engine.cancel(chance.choice(list(submitted)))
            elif drawn < 0.28:
                for id_ in submitted:  # nothing is left to run, but to move
                    engine.cancel(id_)
            elif drawn < 0.4 and len(places):
                places.preempt(chance.choice(list(places)))
                seen["lost"] += 1
            else:
                collected.take(engine.step().events)
                engine.check()
        drain(engine, collected)
        for asks, key in submitted.values():
            found = [collected.answer(name) for name in asks.hypotheses or (asks.id,)]
            if any(reason == "cancelled" for _, reason, _ in found):
                assert all(reason == "cancelled" for _, reason, _ in found)
                seen["cancelled"] += 1
            else:
                assert found == alone(make, key), (seed, asks.id, key)
                seen["searches"] += asks.beams is not None
    assert seen["searches"] > 150
    assert seen["cancelled"] > 20
    assert seen["lost"] > 150


@pytest.mark.parametrize("make", [slots, pages])
def test_what_a_search_was_about_to_share_is_there_though_it_was_left_before(make: Make) -> None:
    """The prompt goes to the other beams with the next step, which has nothing to run but is to move."""
    engine = made(make, PLENTY)
    key = (1, 20, 9, 4)
    engine.submit(asked("left", key))
    while not engine._scheduler.pool._moves:  # type: ignore[attr-defined]
        engine.step()
    engine.cancel("left")
    engine.step()
    for number in range(NUM_SEQS):
        engine.submit(asked(f"r{number}", (1, 20, 9, 1)))
    collected = drain(engine)
    assert [[collected.answer(f"r{number}")] for number in range(NUM_SEQS)] == [alone(make, (1, 20, 9, 1))] * NUM_SEQS
