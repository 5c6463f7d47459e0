"""What the scheduler asks of KV memory, whether it is slots or pages."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Protocol

from attendant.core.plan import Filler, Move, Tokens
from attendant.engine.sequence import Sequence

MIN_PREFIX = 16
"""Fewer positions are not worth a copy."""


@dataclass(frozen=True, slots=True)
class PrefixStats:
    """Prompt tokens looked up in the prefix cache, and of those found, since the pool was made."""

    queries: int = 0
    hits: int = 0


class KVPool(Protocol):
    """Accounting of KV memory. Holds no tensors."""

    @property
    def capacity_tokens(self) -> int:
        """Budget, in positions of one sequence."""
        ...

    @property
    def used_tokens(self) -> int:
        """Positions promised to sequences that have a place; shared ones count once."""
        ...

    @property
    def prefix_stats(self) -> PrefixStats:
        """Counters of the prefix cache."""
        ...

    @property
    def contiguous_rows(self) -> bool:
        """Whether the rows of a decode run have to be the places from 0 on."""
        ...

    @property
    def page_tokens(self) -> int:
        """Positions that memory is handed out in."""
        ...

    def acquire(self, sequence: Sequence, beside: int = 0) -> bool:
        """Give the sequence a place with memory for all its tokens and one more, reusing the longest known prefix.

        A page is left to each sequence that runs already, so that it can grow; but not to the ``beside`` that were
        placed last, beams of the same search.

        At least one token is left to compute. A place is a slot or a row of the block table with blocks. Places the
        sequence there and sets, the first time, ``num_cached``. False: no place or no memory now.
        """
        ...

    def extend(self, sequence: Sequence, num_tokens: int) -> bool:
        """Make sure of memory for ``num_tokens`` positions. False: not without taking another's.

        Called for every decoding sequence at every step: where there is memory already, it costs next to nothing.
        """
        ...

    def release(self, sequence: Sequence) -> None:
        """Take the sequence's place back; what it computed stays for others to reuse while there is room."""
        ...

    def fork(self, parent: Sequence, child: Sequence, start: int) -> None:
        """Let ``child``, which has a place, hold what ``parent`` has computed; up to ``start`` it does already.

        The child's memories get what the parent's have, too.
        """
        ...

    def arrange(self, decoding: SequenceOf[Sequence]) -> tuple[Filler, ...]:
        """Make the decode rows contiguous where the runner needs that; the fillers are the rows between them that
        decode nothing."""
        ...

    def take_moves(self) -> tuple[Move, ...]:
        """The moves that the decisions since the last call ask of the runner, in order."""
        ...

    def check(self) -> None:
        """Assert the invariants. Meant for tests and idle moments."""
        ...


def acquire_all(pool: KVPool, members: SequenceOf[Sequence]) -> bool:
    """Places for all of them, one sequence or the beams of a search, or none."""
    for number, member in enumerate(members):
        if not pool.acquire(member, beside=number):
            for placed in members[:number]:
                pool.release(placed)
            return False
    return True


def common_prefix(a: Tokens, b: Tokens) -> int:
    """How many leading tokens of ``a`` [n] and ``b`` [m] are equal."""
    n = min(len(a), len(b))
    if n == 0 or a[0] != b[0]:
        return 0
    different = a[:n] != b[:n]
    first = int(different.argmax())
    return first if different[first] else n
