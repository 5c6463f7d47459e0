"""What is known of an engine from outside."""

from __future__ import annotations

import queue

import pytest
from attendant.core.events import StepReport
from attendant.engine.block_pool import BlockPool
from attendant.engine.client import ThreadEngineClient
from attendant.engine.facts import EngineFacts
from attendant.engine.slot_pool import SlotPool
from attendant.engine.step_rules import StepRules
from attendant.engine.thread import Report

from tests.engine.helpers import request
from tests.engine.test_thread import CONTEXT, make


@pytest.mark.parametrize(("num_tokens", "fitting"), [(1, 8), (16, 8), (17, 4), (48, 2), (64, 2), (65, 1), (129, 0)])
def test_how_many_sequences_the_memory_holds(num_tokens: int, fitting: int) -> None:
    assert EngineFacts("one", 4, 128, 128, 16).max_sequences(num_tokens) == fitting


def test_what_holds_for_each_of_several_engines() -> None:
    engines = [EngineFacts("one-0", 4, 128, 256, 16), EngineFacts("one-1", 8, 64, 128, 16)]
    assert EngineFacts.least(engines) == EngineFacts("one-0", 4, 64, 128, 16)


def test_the_facts_are_those_of_the_pool_and_the_limits() -> None:
    engine, _, scheduler = make()
    rules = StepRules.of(scheduler.limits, scheduler.pool.capacity_tokens, 16)
    assert engine.facts("one") == EngineFacts("one", 4, CONTEXT, scheduler.pool.capacity_tokens, 16, rules)
    assert (SlotPool(2, 64, 96, page_tokens=32).page_tokens, BlockPool(4, 17, 16, CONTEXT).page_tokens) == (32, 16)


def test_a_client_starts_its_thread_once_and_may_be_stopped_before() -> None:
    engine, _, _ = make()
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    client = ThreadEngineClient("one", engine)
    client.stop()
    client.start(reports.put, lambda error: None)
    client.submit(request("r", [1, 2, 3], 1))
    report = reports.get(timeout=300)
    assert isinstance(report, StepReport)
    assert [event.request_id for event in report.events] == ["r", "r"]
    client.stop()
    with pytest.raises(AssertionError, match="starts once"):
        client.start(reports.put, lambda error: None)
