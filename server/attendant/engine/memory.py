"""What a sequence owns beside its tokens and the KV cache, as the engine sees it: accounts without tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

from attendant.core.plan import Feed, Move
from attendant.core.request import Request

ANY_LENGTH = sys.maxsize


class SequenceMemory(Protocol):
    """One kind of memory that one sequence owns: a row, which has the number of the sequence's place.

    The KV cache's pool decides places and makes sequences follow each other; a memory says what that takes. The room
    below has the tensors: :class:`~attendant.runtime.memory.SlotMemory` and
    :class:`~attendant.runtime.memory.PageMemory`.
    """

    @property
    def size(self) -> int:
        """Positions of what the row is fed with. They count as prompt."""
        ...

    @property
    def is_missing(self) -> bool:
        """Whether the row must be fed before any token of the sequence runs."""
        ...

    @property
    def longest_chunk(self) -> int:
        """The most tokens that a run over the row takes: a longer prompt is computed in decode rows."""
        ...

    @property
    def shares_prefixes(self) -> bool:
        """Whether the sequence may go on from what the KV cache has of another one's tokens, and leave its own there.

        Not where the row then lacked those tokens, nor where keys and values depend on what only this row has.
        """
        ...

    def reserve(self) -> bool:
        """Take what a row needs, as the sequence gets a place. False: it is not to be had now."""
        ...

    def release(self) -> None:
        """Give it back: the sequence has lost its place, and what was in the row."""
        ...

    def feed(self, request_id: str, slot: int) -> Feed:
        """The order to compute what is missing, which counts as done from here on."""
        ...

    def follow(self, origin: int, target: int) -> tuple[Move, ...]:
        """The moves by which the row follows its sequence from place ``origin`` to ``target``."""
        ...

    def fork(self, parent: SequenceMemory, origin: int, target: int) -> tuple[Move, ...]:
        """The moves by which the row, of the sequence in ``target``, gets what ``parent`` has of the one in ``origin``.

        ``parent`` is the same kind of memory of another beam of the same search.
        """
        ...


MemoriesOf = Callable[[Request], tuple[SequenceMemory, ...]]
"""Makes the memories of a request's sequence; of equal kinds, in the same order, for every request of a model."""
