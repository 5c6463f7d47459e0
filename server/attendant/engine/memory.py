"""What a sequence owns beside its tokens and the KV cache, as the engine sees it: accounts without tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
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


class Memories:
    """All memories that one sequence owns: what :class:`SequenceMemory` has for one, for several in one order."""

    __slots__ = ("_all", "longest_chunk", "shares_prefixes")

    def __init__(self, memories: Iterable[SequenceMemory] = ()) -> None:
        self._all = tuple(memories)
        self.longest_chunk = min((memory.longest_chunk for memory in self._all), default=ANY_LENGTH)
        self.shares_prefixes = all(memory.shares_prefixes for memory in self._all)

    @property
    def size(self) -> int:
        """Positions that they are fed with in all."""
        return sum([memory.size for memory in self._all])

    @property
    def is_missing(self) -> bool:
        """Whether one of them must be fed before any token runs."""
        return any(memory.is_missing for memory in self._all)

    @property
    def num_missing(self) -> int:
        """Positions that are still to be fed."""
        return sum([memory.size for memory in self._all if memory.is_missing])

    def reserve(self) -> bool:
        """Take a row of each, or of none."""
        for number, memory in enumerate(self._all):
            if not memory.reserve():
                for reserved in self._all[:number]:
                    reserved.release()
                return False
        return True

    def release(self) -> None:
        """Give all rows back."""
        for memory in self._all:
            memory.release()

    def feeds(self, request_id: str, slot: int) -> list[Feed]:
        """The orders to compute what is missing, which counts as done from here on."""
        return [memory.feed(request_id, slot) for memory in self._all if memory.is_missing]

    def follow(self, origin: int, target: int) -> list[Move]:
        """The moves by which they follow their sequence from place ``origin`` to ``target``."""
        return [move for memory in self._all for move in memory.follow(origin, target)]

    def fork(self, parent: Memories, origin: int, target: int) -> list[Move]:
        """The moves by which the rows in ``target`` get what ``parent`` has in those in ``origin``."""
        pairs = zip(self._all, parent._all, strict=True)
        return [move for memory, other in pairs for move in memory.fork(other, origin, target)]


MemoriesOf = Callable[[Request], tuple[SequenceMemory, ...]]
"""Makes the memories of a request's sequence; of equal kinds, in the same order, for every request of a model."""
