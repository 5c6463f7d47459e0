"""Calls on models that encode which would not be done in their time: who is refused, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from attendant.core.context import CallContext
from attendant.core.encoding import BatchStats, Row
from attendant.core.errors import QueueFull, WouldBeLate
from attendant.core.fair_order import OrderRules
from attendant.frontend import timely
from attendant.frontend.encoding.backlog import Backlog
from attendant.frontend.encoding.calls import ClassifyCall, TextItem
from attendant.frontend.encoding.hub import EncoderHub
from attendant.frontend.encoding.reckoned import Density, Reckoned, reckoned
from attendant.frontend.encoding.service import EncodingService
from attendant.models.encoders import EncoderPart
from hypothesis import given
from hypothesis import strategies as st

from tests.batching.helpers import FakeRunner
from tests.frontend.encoding.helpers import encoders, items, with_encoders
from tests.frontend.encoding.hub_helpers import held, load, with_hub
from tests.synthetic_encoder import make_text_encoder

HOUR_NS = 3600 * 10**9
"""What a batch takes here: no machine is so slow that a test depends on it."""

SLOW = BatchStats(4, 40, 40, HOUR_NS, num_waiting=1, turn_ns=HOUR_NS)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known stays fresh, however long a test takes."""
    monkeypatch.setattr(timely, "FRESH_NS", 10 * HOUR_NS)


@pytest.fixture
def part(tmp_path: Path) -> EncoderPart:
    """A model with batches of 4 rows at most, which predicts."""
    loaded = load(make_text_encoder(tmp_path / "moods"))
    return replace(loaded, limits=replace(loaded.limits, max_rows=4)).predicting(refuses=True, ends=True)


def rows(count: int, *, hours: float | None = None, priority: int = 0) -> list[Row]:
    """Rows of 10 tokens that come now."""
    now_ns = time.monotonic_ns()
    by_ns = None if hours is None else now_ns + round(hours * HOUR_NS)
    return [
        Row(f"{now_ns}-{i}", {"input_ids": np.ones(10)}, 10, now_ns, by_ns, priority=priority) for i in range(count)
    ]


def slow(part: EncoderPart, num_rows: int) -> Backlog:
    """A backlog of so many rows, four of which take an hour."""
    backlog = Backlog(part)
    for _ in range(50):
        backlog.ran(SLOW)
    if num_rows:
        backlog.add(rows(num_rows))
    return backlog


def is_late(check: Callable[[], object]) -> bool:
    try:
        check()
    except WouldBeLate:
        return True
    return False


def test_rows_that_would_not_be_done_in_their_time_are_refused(part: EncoderPart) -> None:
    backlog = slow(part, 8)  # two hours
    assert is_late(lambda: backlog.check(rows(4, hours=3.2), 4)), "three: and there is a margin"
    assert not is_late(lambda: backlog.check(rows(4, hours=5), 4))
    assert is_late(lambda: backlog.check(rows(4, hours=5), 20)), "the call has more than its first rows"
    assert not is_late(lambda: backlog.check(rows(4), 4000)), "who has no deadline has time"


def test_a_refusal_tells_when_and_until_when(part: EncoderPart) -> None:
    with pytest.raises(WouldBeLate) as refused:
        slow(part, 8).check(rows(4, hours=1), 4)
    error = refused.value
    assert (error.model, error.what, error.limit_s) == (part.name, "the result", pytest.approx(3600))
    assert error.predicted_s == pytest.approx(3.2 * 3600, rel=0.01), "with the room that a promise leaves"
    assert error.retry_after_s == 30, "the most that a caller hears"


def test_a_call_is_refused_before_its_rows_are_made_if_what_is_ahead_takes_too_long(part: EncoderPart) -> None:
    now = CallContext.new("", 2 * 3600)
    assert is_late(lambda: slow(part, 8).check_begin(now))
    assert not is_late(lambda: slow(part, 2).check_begin(now))
    assert not is_late(lambda: slow(part, 0).check_begin(now))
    target = replace(CallContext.new(), first_token_by_ns=now.deadline_ns)
    assert is_late(lambda: slow(part, 8).check_begin(target)), "a target of the first token is one of the result"


def test_only_rows_of_as_high_a_priority_are_ahead(part: EncoderPart) -> None:
    backlog = slow(part, 8)
    assert not is_late(lambda: backlog.check(rows(4, hours=2, priority=1), 4))
    backlog.add(rows(8, priority=2))
    assert is_late(lambda: backlog.check(rows(4, hours=2, priority=1), 4))


def test_of_other_tenants_only_as_much_is_ahead_as_the_own_one_has(part: EncoderPart) -> None:
    backlog = slow(part, 0)
    backlog.add([replace(row, tenant="heavy") for row in rows(40)])  # ten hours
    light = [replace(row, tenant="light") for row in rows(4, hours=2.6)]
    assert not is_late(lambda: backlog.check(light, 4)), "an hour of its own, and one of the other"
    assert is_late(lambda: backlog.check(light, 8)), "two, and two"
    assert is_late(lambda: backlog.check([replace(row, tenant="heavy") for row in rows(4, hours=9)], 4))
    backlog.add([replace(row, tenant="light") for row in rows(4)])
    assert is_late(lambda: backlog.check(light, 4))
    backlog.add([replace(row, tenant="urgent", priority=1) for row in rows(8)])
    assert is_late(lambda: backlog.check([replace(row, tenant="new") for row in rows(4, hours=3.2)], 4))
    unfair = replace(part, limits=replace(part.limits, order=OrderRules(fair=False)))
    backlog = slow(unfair, 0)
    backlog.add([replace(row, tenant="heavy") for row in rows(40)])
    assert is_late(lambda: backlog.check(light, 4))


def test_rows_that_have_ended_are_ahead_of_nobody(part: EncoderPart) -> None:
    backlog = slow(part, 0)
    there = rows(8)
    backlog.add(there)
    for row in there:
        backlog.remove(row)
    assert not is_late(lambda: backlog.check(rows(4, hours=1), 4))


def test_where_nothing_is_ahead_a_call_is_refused_only_by_far_and_by_what_was_seen_lately(
    part: EncoderPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = slow(part, 0)
    assert not is_late(lambda: backlog.check(rows(4, hours=0.6), 4)), "it costs nobody anything, and teaches"
    assert is_late(lambda: backlog.check(rows(4, hours=0.4), 4))
    now_ns = time.monotonic_ns()
    late = rows(4, hours=0.4)
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns + 20 * HOUR_NS)
    assert not is_late(lambda: backlog.check(late, 4)), "what was slow once may not be any more"


def test_it_can_be_turned_off(part: EncoderPart) -> None:
    backlog = slow(part.predicting(refuses=False, ends=False), 8)
    assert not is_late(lambda: backlog.check(rows(4, hours=0.1), 4))


def test_a_queue_is_bounded_by_tokens_and_takes_anything_while_it_is_empty(part: EncoderPart) -> None:
    backlog = slow(replace(part, max_queue_size=100), 8)
    backlog.check(rows(2), 2)
    with pytest.raises(QueueFull, match="already holds 100 tokens"):
        backlog.check(rows(3), 3)
    slow(replace(part, max_queue_size=100), 0).check(rows(30), 30)


def test_what_a_hub_holds_is_its_backlog(part: EncoderPart) -> None:
    runner = FakeRunner()
    fake = replace(part, runner=runner, max_rows=6)  # type: ignore[arg-type]

    async def test(hub: EncoderHub) -> None:
        def refused() -> bool:
            return is_late(lambda: hub.backlog.check(rows(1, hours=0.9), 1))

        first = await held(hub, runner)
        hub.backlog.ran(SLOW)
        inside = asyncio.create_task(hub.run(rows(4)))
        await asyncio.sleep(0)
        assert refused()
        waits = asyncio.create_task(hub.run_when_room(rows(4)))  # outside: there is no place
        await asyncio.sleep(0)
        assert is_late(lambda: hub.backlog.check(rows(1, hours=2), 1))
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        runner.gate.set()
        await asyncio.gather(first, inside)
        hub.backlog.ran(SLOW)
        assert not is_late(lambda: hub.backlog.check(rows(1, hours=0.9), 1)), "nothing is left of them"

    assert with_hub(fake, test) == []


def test_a_call_is_refused_at_the_door(part: EncoderPart) -> None:
    async def test(service: EncodingService) -> None:
        (encoder,) = encoders(service)
        for _ in range(20):
            encoder.hub.backlog.ran(SLOW)
        encoder.hub.backlog.add(ahead := rows(8))
        with pytest.raises(WouldBeLate, match="the result would come"):
            await service.classify(ClassifyCall("", items("good")), CallContext.new("", 3600.0))
        for row in ahead:
            encoder.hub.backlog.remove(row)
        with pytest.raises(WouldBeLate):  # its rows are known then: 100 texts of 4 tokens and more
            await service.classify(ClassifyCall("", items(*["good"] * 100)), CallContext.new("", 3600.0))
        await service.classify(ClassifyCall("", items(*["good"] * 100)))

    assert with_encoders([part], test) == []


def test_texts_are_reckoned_by_their_characters_before_they_are_tokenised(part: EncoderPart) -> None:
    now, backlog = CallContext.new("", 2 * 3600), slow(part, 4)
    long = reckoned(ClassifyCall("", [TextItem("word " * 40)] * 8))
    assert long == (8, 1600, 0)
    assert not is_late(lambda: backlog.check_begin(now, long)), "nothing is known of such texts"
    backlog.density.learn(Reckoned(1, 1000), 1000 * rows(1)[0].size // 40)
    assert is_late(lambda: backlog.check_begin(now, long))
    assert not is_late(lambda: backlog.check_begin(now, reckoned(ClassifyCall("", [TextItem("word")]))))
    cut = ClassifyCall("", [TextItem("word " * 40)] * 8, truncate=True)
    assert not is_late(lambda: backlog.check_begin(now, reckoned(cut))), "nobody knows what is left of them"


@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0.05, 1)), min_size=1, max_size=50))
def test_what_is_reckoned_is_below_what_was_seen(seen: list[tuple[int, float]]) -> None:
    density = Density()
    for characters, share in seen:
        density.learn(Reckoned(1, characters), round(characters * share))
    most = max(round(characters * share) / characters for characters, share in seen)
    assert density.least(Reckoned(1, 1000)) <= 1000 * most
    assert density.least(Reckoned()) == 0
