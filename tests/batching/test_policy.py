"""Which rows go together: budgets are held, nothing is lost, nothing starves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from attendant.batching.policy import (
    GPU_PACKED_VIEW,
    PACKED_VIEW,
    PADDED_VIEW,
    Batch,
    BatchLimits,
    choose,
    due_in_ns,
)
from attendant.batching.queue import RowQueue
from attendant.core.encoding import Row
from hypothesis import given
from hypothesis import strategies as st

from tests.batching.helpers import row

MS = 1_000_000
SIZES = st.one_of(st.integers(1, 20), st.integers(1, 600))


@st.composite
def limits(draw: st.DrawFn) -> BatchLimits:
    return BatchLimits(
        layout=draw(st.sampled_from(["packed", "padded", "equal"])),
        max_size=draw(st.integers(1, 2000)),
        max_rows=draw(st.integers(1, 40)),
        view=draw(st.sampled_from([PACKED_VIEW, GPU_PACKED_VIEW, PADDED_VIEW])),
        near=draw(st.one_of(st.none(), st.tuples(st.integers(1, 40), st.integers(0, 2000)))),
    )


def filled(*sizes: int, now_ns: int = 0) -> RowQueue:
    queue = RowQueue()
    for number, size in enumerate(sizes):
        queue.add(row(size, str(number)), now_ns)
    return queue


def ids(batch: Batch) -> list[int]:
    return [int(row.id) for row in batch.rows]


def take(queue: RowQueue, batch: Batch) -> None:
    for chosen in batch.rows:
        assert queue.take(chosen.id) is chosen


def check(batch: Batch, limits: BatchLimits) -> None:
    """A batch of more than one row is within every budget, and tells its sizes."""
    sizes = [row.size for row in batch.rows]
    view = len(sizes) * max(sizes)
    assert batch.size == sum(sizes)
    assert batch.padded_size == (view if limits.layout == "padded" else batch.size)
    if len(sizes) == 1:
        return
    assert len(sizes) <= limits.max_rows
    assert batch.padded_size <= limits.max_size
    if limits.layout == "equal":
        assert len(set(sizes)) == 1
    else:
        factor, free = limits.view
        assert view <= max(factor * batch.size, batch.size + free)


@given(st.lists(st.one_of(SIZES, st.just(0)), max_size=120), limits(), st.randoms(use_true_random=False))
def test_every_row_runs_once_within_the_budgets_and_none_starves(actions: Any, limits: Any, random: Any) -> None:
    """0 in ``actions`` is a batch, other numbers are rows that come; some are cancelled."""
    queue, came = RowQueue(), []
    ran: list[str] = []
    cancelled: set[str] = set()
    ahead: dict[str, int] = {}  # rows that were there before, for those that wait: at most so many batches go first

    def one_batch() -> None:
        oldest = queue.first(0)
        batch = choose(queue, limits)
        check(batch, limits)
        assert oldest in batch.rows
        take(queue, batch)
        ran.extend(row.id for row in batch.rows)
        for waiting in ahead:
            ahead[waiting] -= 1
        for done in batch.rows:
            assert ahead.pop(done.id) >= -1

    for action in actions:
        if action:
            added = row(action)
            came.append(added.id)
            ahead[added.id] = len(queue)
            queue.add(added, 0)
            if random.random() < 0.1 and (victim := random.choice(came)) in ahead:
                assert queue.take(victim) is not None
                del ahead[victim]
                cancelled.add(victim)
        elif len(queue):
            one_batch()
    while len(queue):
        one_batch()
    assert sorted([*ran, *cancelled]) == sorted(came)


@given(st.lists(SIZES, min_size=1, max_size=60), SIZES)
def test_the_nearest_in_size_are_found_in_their_order(sizes: Any, size: Any) -> None:
    found = list(filled(*sizes).of_nearest_size(size))
    assert sorted(int(row.id) for row in found) == list(range(len(sizes)))

    def order(row: Row) -> tuple[int, bool, int]:
        return (abs(row.size - size), row.size < size, int(row.id))

    assert all(order(a) < order(b) for a, b in pairwise(found))
    same = [int(row.id) for row in filled(*sizes).of_size(size)]
    assert same == [number for number, found in enumerate(sizes) if found == size]


def test_packed_rows_are_taken_up_to_the_budget() -> None:
    batch = choose(filled(10, 10, 10, 10), BatchLimits("packed", 35, 64))
    assert (ids(batch), batch.full) == ([0, 1, 2], True)
    batch = choose(filled(10, 10, 10), BatchLimits("packed", 35, 64))
    assert (ids(batch), batch.full) == ([0, 1, 2], False)
    assert ids(choose(filled(10, 10, 10), BatchLimits("packed", 35, 2))) == [0, 1]


def test_a_long_row_does_not_make_a_wide_view_of_many_short_ones() -> None:
    queue, limits = filled(512, *[8] * 63), BatchLimits("packed", 4096, 64, view=GPU_PACKED_VIEW)
    assert ids(choose(queue, replace(limits, view=PACKED_VIEW))) == [0]
    batch = choose(queue, limits)
    assert ids(batch) == [0, 1, 2], "at most three times as wide as they are"
    take(queue, batch)
    assert len(choose(queue, limits).rows) == len(queue)


@given(st.lists(SIZES, min_size=1, max_size=80), limits(), st.integers(1, 40), st.integers(0, 2000))
def test_who_came_much_later_is_not_taken_along(sizes: Any, limits: Any, num_rows: Any, size: Any) -> None:
    near = replace(limits, near=(num_rows, size), layout="packed")
    batch = choose(filled(*sizes), near)
    last = max(ids(batch))
    assert last < num_rows or sum(sizes[:last]) < size


def test_rows_join_the_oldest_that_came_soon_after_it() -> None:
    limits = BatchLimits("packed", 1000, 64, near=(3, 0))
    batch = choose(filled(10, 11, 90, 10, 10), limits)
    assert (ids(batch), batch.full) == ([0, 1], True)
    assert ids(choose(filled(10, 11, 90, 10, 10), replace(limits, near=None))) == [0, 3, 4, 1]
    more = choose(filled(10, 11, 20, 10, 10), replace(limits, near=(1, 51)))
    assert (sorted(ids(more)), more.full) == ([0, 1, 2, 3], True), "so many as together are as large"
    assert not choose(filled(10, 10), limits).full


def test_a_row_larger_than_the_budget_runs_alone() -> None:
    for layout in ("packed", "padded", "equal"):
        queue, limits = filled(100, 5, 100), BatchLimits(layout, 20, 64)
        batch = choose(queue, limits)
        assert ids(batch) == [0]
        take(queue, batch)
        assert ids(choose(queue, limits)) == [1]


def test_padded_rows_of_similar_length_go_together() -> None:
    sizes = [200, 20, 190, 21, 22, 210]
    queue, limits = filled(*sizes), BatchLimits("padded", 1000, 64)
    first = choose(queue, limits)
    assert sorted(ids(first)) == [0, 2, 5]
    assert first.padded_size == 3 * 210
    take(queue, first)
    assert sorted(ids(choose(queue, limits))) == [1, 3, 4]


def test_equal_rows_go_together_in_the_order_they_came() -> None:
    queue, limits = filled(7, 5, 7, 5, 7), BatchLimits("equal", 1000, 2)
    for expected in ([0, 2], [1, 3], [4]):
        batch = choose(queue, limits)
        assert ids(batch) == expected
        take(queue, batch)


def test_without_a_delay_a_batch_is_due_at_once() -> None:
    limits = BatchLimits("packed", 100, 8, preferred_rows=4)
    assert due_in_ns(RowQueue(), limits, 0) is None
    assert due_in_ns(filled(3), limits, 0) == 0


@pytest.mark.parametrize(
    ("sizes", "preferred", "due"),
    [
        ([3], None, 5 * MS),
        ([3] * 7, None, 5 * MS),
        ([3] * 8, None, 0),  # as many as may be
        ([3] * 2, 3, 5 * MS),
        ([3] * 3, 3, 0),  # as many as are preferred
        ([60, 60], None, 0),  # the budget is used up
        ([3] * 8, 20, 0),
    ],
)
def test_a_delay_waits_for_the_preferred_rows_or_a_full_batch(sizes: Any, preferred: Any, due: Any) -> None:
    limits = BatchLimits("packed", 100, 8, preferred, max_delay_ns=10 * MS)
    queue = filled(*sizes, now_ns=1000 * MS)
    assert due_in_ns(queue, limits, 1005 * MS) == due
    assert due_in_ns(queue, limits, 1010 * MS) == 0
    queue.add(row(1), 1009 * MS)
    assert due_in_ns(queue, limits, 1010 * MS) == 0, "the oldest has waited long enough"


def test_taking_what_is_not_there_is_no_error() -> None:
    queue = filled(3)
    assert queue.take("strange") is None
    assert queue.take("0") is not None
    assert queue.take("0") is None
    assert len(queue) == 0
