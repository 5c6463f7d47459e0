"""A request that is to be made, and what it shares with others."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class BadSchedule(ValueError):
    """What is asked for cannot be a schedule; the message names the value and what is allowed."""


class Segment(NamedTuple):
    """A stretch of a prompt. Segments with equal keys have the same tokens; prompts that begin with equal segments
    share a prefix.

    Attributes:
        key: at least 0.
        tokens: how long it is, at least 1.
    """

    key: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Planned:
    """One request.

    Attributes:
        at_s: when it is due, in seconds from the beginning of the schedule.
        segments: its prompt, from its beginning to its end.
        answer: tokens to generate, at least 1.
        priority: -100 to 100, the higher the sooner.
        deadline_s: seconds that its caller waits for the end; None: for ever.
        cancel_after: its caller breaks off when this many tokens have come; None: never.
    """

    at_s: float
    segments: tuple[Segment, ...]
    answer: int
    priority: int = 0
    deadline_s: float | None = None
    cancel_after: int | None = None

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        return sum(segment.tokens for segment in self.segments)


Schedule = tuple[Planned, ...]
"""Requests in the order in which they are due."""


def in_order(requests: Iterable[Planned]) -> Schedule:
    """A schedule of requests in any order. Those that are due at once keep their order."""
    return tuple(sorted(requests, key=lambda each: each.at_s))


def span_s(schedule: Schedule) -> float:
    """From the beginning of a schedule to its last request, in seconds."""
    return schedule[-1].at_s if schedule else 0.0


def scaled(schedule: Schedule, speed: float = 1.0, lengths: float = 1.0) -> Schedule:
    """The same requests, sooner after one another and of other lengths.

    Args:
        speed: 2 makes twice as many a second. A deadline stays as it is.
        lengths: by which tokens of prompts and answers are multiplied; nothing becomes shorter than one token.

    Raises:
        BadSchedule
    """
    for name, value in (("speed", speed), ("lengths", lengths)):
        if not 0 < value < float("inf"):
            raise BadSchedule(f"{name} is {value:g}; allowed: greater than 0")

    def size(tokens: int) -> int:
        return max(1, round(tokens * lengths))

    return tuple(
        replace(
            each,
            at_s=each.at_s / speed,
            segments=tuple(Segment(segment.key, size(segment.tokens)) for segment in each.segments),
            answer=size(each.answer),
            cancel_after=None if each.cancel_after is None else size(each.cancel_after),
        )
        for each in schedule
    )


def too_long(schedule: Schedule, most: int) -> Schedule:
    """The requests whose prompt and answer together are more than ``most`` tokens."""
    return tuple(each for each in schedule if each.prompt + each.answer > most)


def random_of(seed: int, *names: str | int) -> np.random.Generator:
    """Chance of its own for each name, so that what is drawn for one thing changes nothing of another."""
    words = (zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names)
    return np.random.default_rng((seed, *words))


def tokens_of(segments: Sequence[Segment], vocab: range, seed: int) -> list[int]:
    """The tokens of a prompt: the same for equal segments, whatever the rest of the prompt is.

    Args:
        vocab: ids that tokens are drawn from.
    """
    return [
        token
        for key, size in segments
        for token in random_of(seed, "prompt", key).integers(vocab.start, vocab.stop, size).tolist()
    ]
