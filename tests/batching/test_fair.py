"""Tenants share what batches compute: one with many rows holds up nobody, and the batches stay full."""

from __future__ import annotations

from collections import Counter

import pytest
from attendant.batching.policy import BatchLimits, choose
from attendant.batching.queue import RowQueue
from attendant.core.encoding import Row
from attendant.core.fair_order import OrderRules
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.batching.helpers import row

S = 1_000_000_000


def run(queue: RowQueue, limits: BatchLimits, now_ns: int = 0) -> list[Row]:
    """The next batch, which leaves the queue."""
    rows = choose(queue, limits, now_ns).rows
    queue.served(rows, now_ns)
    for one in rows:
        assert queue.take(one.id) is one
    return list(rows)


@pytest.mark.parametrize(("fair", "batch"), [(True, 0), (False, 625)])
def test_one_with_ten_thousand_rows_does_not_hold_up_one_with_one(fair: bool, batch: int) -> None:
    queue, limits = RowQueue(OrderRules(fair=fair)), BatchLimits("packed", 160, 16)
    for number in range(10_000):
        queue.add(row(10, f"heavy{number}", tenant="heavy"), 0)
    run(queue, limits)
    queue.add(row(10, "light", tenant="light"), 1)
    found = next(number for number in range(626) if "light" in {one.id for one in run(queue, limits)})
    assert found == (batch if fair else batch - 1)


@pytest.mark.parametrize("layout", ["packed", "padded", "equal"])
def test_two_with_many_rows_get_half_each(layout: str) -> None:
    queue, limits = RowQueue(), BatchLimits(layout, 320, 32)  # type: ignore[arg-type]
    for number in range(640):
        queue.add(row(10, f"a{number}", tenant="a"), 0)
    for number in range(320):
        queue.add(row(10, f"b{number}", tenant="b"), 0)
    batches = [run(queue, limits) for _ in range(10)]
    assert {len(batch) for batch in batches} == {32}
    had = Counter(one.tenant for batch in batches for one in batch)
    assert abs(had["a"] - had["b"]) <= 32


def test_the_higher_priority_is_first_and_waiting_reaches_it() -> None:
    queue, limits = RowQueue(), BatchLimits("packed", 10, 1)
    queue.add(row(5, "old", priority=0), 0)
    queue.add(row(5, "urgent", priority=2), 0)
    first = choose(queue, limits, 0).rows[0]
    assert first.id == "urgent"
    assert choose(queue, limits, first.arrival_ns + 30 * S).rows[0].id == "old"


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.integers(0, 1)), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(ROWS, st.sampled_from(["packed", "padded", "equal"]), st.integers(1, 100), st.integers(1, 8))
def test_no_row_is_lost_or_run_twice_and_the_first_is_always_in(
    rows: list[tuple[str, int, int]], layout: str, max_size: int, max_rows: int
) -> None:
    queue, limits = RowQueue(), BatchLimits(layout, max_size, max_rows)  # type: ignore[arg-type]
    for number, (tenant, size, priority) in enumerate(rows):
        queue.add(row(size, str(number), tenant=tenant, priority=priority), 0)
    ran: list[str] = []
    while len(queue):
        first = queue.first(0)
        batch = run(queue, limits)
        assert batch[0] is first
        assert len(batch) == 1 or (len(batch) <= max_rows and sum(one.size for one in batch) <= max_size)
        ran += [one.id for one in batch]
    assert sorted(ran, key=int) == [str(number) for number in range(len(rows))]
