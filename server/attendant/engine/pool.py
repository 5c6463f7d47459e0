"""What the scheduler asks of KV memory, whether it is slots or pages."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Protocol

from attendant.core.plan import Filler, KVMove
from attendant.engine.sequence import Sequence


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
        """Positions promised to sequences that have a place."""
        ...

    @property
    def prefix_stats(self) -> PrefixStats:
        """Counters of the prefix cache."""
        ...

    def acquire(self, sequence: Sequence) -> bool:
        """Give the sequence a place with memory for all its tokens and one more, reusing the longest known prefix.

        Sets ``slot``, ``num_computed`` and, the first time, ``num_cached``. False: no place or no memory now.
        """
        ...

    def extend(self, sequence: Sequence, num_tokens: int) -> bool:
        """Make sure of memory for ``num_tokens`` positions. False: not without taking another's."""
        ...

    def release(self, sequence: Sequence) -> None:
        """Take the sequence's place back; what it computed stays for others to reuse while there is room."""
        ...

    def arrange(self, decoding: SequenceOf[Sequence]) -> tuple[Filler, ...]:
        """Make the decode rows contiguous; the fillers are the rows between them that decode nothing."""
        ...

    def take_moves(self) -> tuple[KVMove, ...]:
        """The moves that the decisions since the last call ask of the runner, in order."""
        ...

    def check(self) -> None:
        """Assert the invariants. Meant for tests and idle moments."""
        ...
