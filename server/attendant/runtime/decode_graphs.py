"""Which shapes of pure decode runs are worth a CUDA graph, and which of them serves a step.

A graph has a fixed number of sequences and of block table columns. A step takes the smallest that holds it; rows that
are left over run over nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

_MIN_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class GraphKey:
    """``num_sequences`` decode rows over block tables of ``num_columns`` blocks."""

    num_sequences: int
    num_columns: int


class GraphKeys:
    """The shapes for up to ``max_num_seqs`` sequences of up to ``max_columns`` blocks of ``block_size`` positions."""

    def __init__(self, max_num_seqs: int, max_columns: int, block_size: int) -> None:
        self._block_size = block_size
        self._sizes = _sizes(max_num_seqs)
        self._columns = []
        columns = min(_MIN_COLUMNS, max_columns)
        while columns < max_columns:
            self._columns.append(columns)
            columns *= 2
        self._columns.append(max_columns)

    def __iter__(self) -> Iterator[GraphKey]:
        """Largest first: the memory that its run takes does for all others."""
        for columns in reversed(self._columns):
            for size in reversed(self._sizes):
                yield GraphKey(size, columns)

    def __len__(self) -> int:
        return len(self._sizes) * len(self._columns)

    def of(self, num_sequences: int, num_columns: int) -> GraphKey | None:
        """The smallest that holds a step; None if it is larger than all."""
        size = bisect.bisect_left(self._sizes, num_sequences)
        columns = bisect.bisect_left(self._columns, num_columns)
        if size == len(self._sizes) or columns == len(self._columns):
            return None
        return GraphKey(self._sizes[size], self._columns[columns])

    def shortest(self, key: GraphKey) -> int:
        """Positions that the longest sequence of a step served by ``key`` has at least."""
        place = self._columns.index(key.num_columns)
        return self._columns[place - 1] * self._block_size + 1 if place else 1


def _sizes(max_num_seqs: int) -> list[int]:
    """1, 2, 4, 8, then in steps of an eighth of the next power of two or of 8: little is left over."""
    sizes, size = [], 1
    while size < max_num_seqs:
        sizes.append(size)
        size += max(1, min(size, 8 if size < 64 else 32))
    return [*sizes, max_num_seqs]
