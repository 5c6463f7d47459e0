"""The account of what an encoder makes of a request's source: keys and values that every one of its tokens reads."""

from __future__ import annotations

from attendant.core.plan import CopyRow, Feed, Move
from attendant.core.request import Request
from attendant.core.source import SOURCES, Source
from attendant.engine.memory import SequenceMemory


class SourceMemory:
    """A :class:`~attendant.engine.memory.SequenceMemory` that is fed once for each place and then only read.

    Prefixes are not shared, not even with an equal source: an answer's beginning is a handful of tokens, fewer than are
    worth a copy, and what is computed of it depends to the bit on the length of its source, too.
    """

    shares_prefixes = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self.is_missing = True

    @property
    def size(self) -> int:
        return self._source.length

    @property
    def longest_chunk(self) -> int:
        return self._source.length

    def reserve(self) -> bool:
        return True  # there is a row for each place

    def release(self) -> None:
        self.is_missing = True

    def feed(self, request_id: str, slot: int) -> Feed:
        assert self.is_missing
        self.is_missing = False
        return Feed(request_id, slot, SOURCES, self._source, self._source.length)

    def follow(self, origin: int, target: int) -> tuple[Move, ...]:
        return () if self.is_missing else (CopyRow(SOURCES, origin, target),)

    def fork(self, parent: SequenceMemory, origin: int, target: int) -> tuple[Move, ...]:
        moves = (CopyRow(SOURCES, origin, target),) if self.is_missing else ()
        self.is_missing = parent.is_missing
        return moves


def memories_of(request: Request) -> tuple[SequenceMemory, ...]:
    """The memories of a sequence of today's models: of encoder-decoders, that of the source."""
    return () if request.source is None else (SourceMemory(request.source),)
