"""Which of the waiting rows go together, and whether they start now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from attendant.batching.queue import RowQueue
from attendant.bundle import RowLayout
from attendant.core.encoding import Row
from attendant.core.fair_order import OrderRules

View = tuple[float, int]

PACKED_VIEW: View = (1.1, 64)
"""The padded view of packed rows, on which attention computes, may be 1.1 times as large as they are, or 64 larger.
Rows of many lengths took a processor 0.73 of the time that they took at 3 times and 256."""

GPU_PACKED_VIEW: View = (3, 256)
"""The same where a further run costs more than attention in vain; not measured."""

PADDED_VIEW: View = (4 / 3, 64)
"""The same for padded rows, where everything computes on it: little, or less than what a further run costs."""

NEAR = (16, 4)
"""On a processor, the nearest in size are looked for among the oldest that wait: so many rows, or as many more as make
up one part in so many of the largest batch. Batches of 300 to 500 tokens run as fast as larger ones there or faster,
and rows end nearly in the order they came: among all that wait, a call of four texts took up to twice as long."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What a batch may be. Sizes as :class:`attendant.core.encoding.Row` counts them.

    Attributes:
        layout: how rows lie beside each other in a run, which decides what padding costs.
        max_size: of all rows together, with their padding in layout ``padded``. A larger row runs alone.
        max_rows: at most.
        preferred_rows: so many are worth waiting for, ``max_delay_ns`` nanoseconds at most; None: as many as may be.
        view: how much larger than the rows the padded view may be: so many times, or by so much.
        near: rows join the first only if they are among so many of the oldest, or among those that together have such
            a size, whichever is more; None: whenever they came.
        order: of rows that wait.
        predict: refuse rows that would not be done in their time. end_hopeless: end those that no longer can be.
    """

    layout: RowLayout
    max_size: int
    max_rows: int
    preferred_rows: int | None = None
    max_delay_ns: int = 0
    view: View = PADDED_VIEW
    near: tuple[int, int] | None = None
    predict: bool = False
    end_hopeless: bool = False
    order: OrderRules = field(default_factory=OrderRules)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to run together. ``full``: it has no use for further rows; ``padded_size``: what a run computes on."""

    rows: tuple[Row, ...]
    padded_size: int
    full: bool = False

    @property
    def size(self) -> int:
        """The size of all rows together."""
        return sum(row.size for row in self.rows)


def choose(queue: RowQueue, limits: BatchLimits, now_ns: int = 0) -> Batch:
    """The next batch; ``queue`` keeps its rows, of which there must be one. The first of them is the one whose turn it
    is: of one tenant and one priority the oldest.

    Equal: those of its size, in the order they came. Packed and padded: the nearest to it in size, as long as little of
    the padded view is padding: less attention in vain, and a row that differs is the oldest some batches later. Before
    them come rows of its tenant that fit, as long as others who wait have had more. With ``near``, who came much later
    is not taken along.
    """
    first = queue.first(now_ns)
    owed = _owed(queue, first, limits, now_ns)
    if limits.layout == "equal":
        return _fill(_after([first, *owed], queue.of_size(first.size)), limits)
    among = None if limits.near is None else queue.oldest(*limits.near)
    batch = _fill(_after([first, *owed], queue.of_nearest_size(first.size, among)), limits)
    return replace(batch, full=True) if among is not None and len(queue) > len(among) else batch


def batch_of(rows: Sequence[Row], layout: RowLayout) -> Batch | None:
    """These rows, if there are any, in a run of their own."""
    if not rows:
        return None
    sizes = [row.size for row in rows]
    return Batch(tuple(rows), padded_size(layout, len(sizes), sum(sizes), max(sizes)))


def due_in_ns(queue: RowQueue, limits: BatchLimits, now_ns: int) -> int | None:
    """How long the next batch may still wait for more rows: 0, it starts now; None, there is no row."""
    if not len(queue):
        return None
    left = queue.oldest_added_ns() + limits.max_delay_ns - now_ns
    if limits.max_delay_ns == 0 or left <= 0:
        return 0
    batch = choose(queue, limits, now_ns)
    enough = min(limits.preferred_rows or limits.max_rows, limits.max_rows)
    return 0 if batch.full or len(batch.rows) >= enough else left


def padded_size(layout: RowLayout, num_rows: int, size: int, longest: int) -> int:
    """What a run of so many rows computes on."""
    return num_rows * longest if layout == "padded" else size


def _fill(candidates: Iterable[Row], limits: BatchLimits) -> Batch:
    """The first of the candidates, and those after it up to the one that does not fit."""
    rows: list[Row] = []
    size = longest = 0
    full = False
    for row in candidates:
        if rows and not _fits(limits, len(rows) + 1, size + row.size, max(longest, row.size)):
            full = True
            break
        rows.append(row)
        size += row.size
        longest = max(longest, row.size)
    return Batch(tuple(rows), padded_size(limits.layout, len(rows), size, longest), full)


def _fits(limits: BatchLimits, num_rows: int, size: int, longest: int) -> bool:
    if num_rows > limits.max_rows or padded_size(limits.layout, num_rows, size, longest) > limits.max_size:
        return False
    factor, free = limits.view
    return num_rows * longest <= max(factor * size, size + free)


def _owed(queue: RowQueue, first: Row, limits: BatchLimits, now_ns: int) -> list[Row]:
    """Further rows of the tenant of ``first`` that fit beside it, oldest first, as long as it has had less than the
    next tenant: looked for among as many as a batch may have."""
    left, others = queue.owed(first, now_ns)
    left -= first.size
    found: list[Row] = []
    size = longest = first.size
    for row in islice(others, limits.max_rows):
        if left <= 0:
            break
        if limits.layout == "equal" and row.size != first.size:
            continue
        if _fits(limits, len(found) + 2, size + row.size, max(longest, row.size)):
            found.append(row)
            size, longest = size + row.size, max(longest, row.size)
            left -= row.size
    return found


def _after(chosen: Sequence[Row], others: Iterable[Row]) -> Iterable[Row]:
    yield from chosen
    ids = {row.id for row in chosen}
    for row in others:
        if row.id not in ids:
            yield row
