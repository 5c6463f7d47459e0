"""What a speech model answered to a window of sound: where its segments begin and end, and where to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment: from timestamp ``start`` to ``end``, counted from the window's begin.

    Attributes:
        tokens: those of its text.
        spoken: those with its timestamps, as an answer to the next window may be told of them.
    """

    start: int
    end: int
    tokens: tuple[int, ...]
    spoken: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """An answer in pieces, in order. The next window begins ``advance`` timestamps, at least 1, after this one;
    ``length`` if all of it is heard."""

    pieces: tuple[Piece, ...]
    advance: int


def cut(tokens: Sequence[int], first_timestamp: int, length: int) -> Cut:
    """Cut an answer into segments, as Whisper's own long-form transcription does (Radford et al. 2022, section 3.8).

    Two timestamps in a row end one segment and begin the next. An answer that ends with one timestamp has heard the
    whole window; otherwise what follows the last pair is unfinished: it is dropped, and the next window begins where
    the last whole segment ends. Without a pair, the answer is one segment.

    Args:
        tokens: the answer's, without the tokens before it and the one that ends it.
        first_timestamp: this and all tokens after it are timestamps.
        length: of the sound in the window, in timestamps, at least 1. Nothing ends after it.
    """
    stamps = [token >= first_timestamp for token in tokens]
    ends = [index + 1 for index, (one, next_) in enumerate(pairwise(stamps)) if one and next_]
    if not ends:
        return Cut((_only(tokens, first_timestamp, length),), length)
    pieces: list[Piece] = []
    begin, heard = 0, 0
    whole = stamps[-2:] == [False, True]
    for end in [*ends, len(tokens)] if whole else ends:
        part = tuple(tokens[begin:end])
        start = max(heard, _time(part[0], first_timestamp, length, heard))
        heard = max(start, _time(part[-1], first_timestamp, length, start))
        pieces.append(Piece(start, heard, _text(part, first_timestamp), part))
        begin = end
    if whole or not heard:
        heard = length
    return Cut(tuple(pieces), heard)


def whole(tokens: Sequence[int], first_timestamp: int, length: int) -> Cut:
    """An answer that was to have no timestamps as one segment, without those that it has all the same."""
    text = _text(tokens, first_timestamp)
    return Cut((Piece(0, length, text, text),), length)


def _only(tokens: Sequence[int], first_timestamp: int, length: int) -> Piece:
    """All of an answer as one segment, up to its last timestamp if it has one."""
    stamps = [token - first_timestamp for token in tokens if token >= first_timestamp]
    end = min(stamps[-1], length) if stamps and stamps[-1] > 0 else length
    return Piece(0, end, _text(tokens, first_timestamp), tuple(tokens))


def _text(tokens: Sequence[int], first_timestamp: int) -> tuple[int, ...]:
    return tuple(token for token in tokens if token < first_timestamp)


def _time(token: int, first_timestamp: int, length: int, otherwise: int) -> int:
    return min(token - first_timestamp, length) if token >= first_timestamp else otherwise
