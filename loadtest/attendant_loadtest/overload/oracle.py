"""Whether a refused request could have been answered: its window is replayed with it let in, by the rules that the
server itself schedules by, on a clock that goes by what its runs took."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attendant_loadtest.overload.calls import ANSWERED, REFUSED, Ended
from attendant_loadtest.overload.servers import Counted

SLOWEST, TRIES = 2.0, 8
"""A server is at most so many times as slow as its runs say, or as fast; and how often a replay narrows that down."""


class Replayed(NamedTuple):
    """What would have been if certain requests had come and nobody else. Seconds from the begin of the window.

    ``ends``: when each would have ended; ``idle``: from when to when nothing would have run.
    """

    ends: list[float]
    idle: list[tuple[float, float]]


Replay = Callable[["Pace", Sequence[tuple[float, Ended]]], Replayed]
"""What would have been if these requests had come at these moments."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a run takes: seconds, each more for a token of a prompt, a source or a text, and for a row of an answer."""

    run: float
    each_input: float
    each_answer: float

    @classmethod
    def of(cls, counted: Sequence[Counted]) -> Pace:
        """That of a server which has counted this in windows that were not alike: the least squares, none below 0."""
        found = [each for each in counted if each.runs]
        rows = np.array([[each.runs, each.inputs, each.answers] for each in found]).reshape(-1, 3)
        took = np.array([each.seconds for each in found])
        used = [column for column in range(3) if rows[:, column].any()]
        while used:
            scaled = rows[:, used] / took[:, None]  # each window counts alike, however long
            solution, *_ = np.linalg.lstsq(scaled, np.ones(len(found)), rcond=None)
            if (solution >= 0).all():
                break
            used.pop(int(solution.argmin()))
        pace = np.zeros(3)
        if used:
            pace[used] = solution
        return cls(*pace.tolist())

    def seconds(self, runs: float, inputs: float, answers: float) -> float:
        """What so much takes."""
        return self.run * runs + self.each_input * inputs + self.each_answer * answers

    def times(self, factor: float) -> Pace:
        """So many times as slow."""
        return Pace(self.run * factor, self.each_input * factor, self.each_answer * factor)

    def in_window(self, counted: Counted) -> Pace:
        """The same, as fast as the machine was in a window that counted this."""
        told = self.seconds(counted.runs, counted.inputs, counted.answers)
        factor = counted.seconds / told if told else 1.0
        return self.times(factor)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the oracle says of a window.

    Attributes:
        looked_at: refused requests that were let in, one at a time.
        wrong: of these, those that would have been answered in time and would have made no other late.
        spare: of these, those that could have been answered beside all others by time in which nothing ran.
        error: median over the answered requests of how far the replay without the refused ones is from what they
            really took, as a share of that.
    """

    looked_at: int
    wrong: int
    spare: int
    error: float


def judge(ended: Sequence[Ended], deadline_s: float, pace: Pace, replay: Replay, most: int, seed: int) -> Verdict:
    """Let refused requests of a window in, one at a time, ``most`` of them at most, drawn evenly."""
    there = [(each.at_s, each) for each in ended if each.how != REFUSED]
    refused = [each for each in ended if each.how == REFUSED]
    pace = _as_fast_as_it_was(pace, replay, there)
    alone, idle = replay(pace, there)
    took = [(end - at, each.took_s) for end, (at, each) in zip(alone, there, strict=True) if each.how == ANSWERED]
    error = float(np.median([abs(told - real) / real for told, real in took])) if took else 0.0
    in_time = [end - at <= deadline_s for end, (at, _) in zip(alone, there, strict=True)]
    wrong = spare = 0
    chosen = random.Random(seed).sample(refused, min(most, len(refused)))
    for each in chosen:
        needs_s = pace.seconds(1, sum(each.work.inputs), each.work.answer)
        spare += _within(idle, each.at_s, each.at_s + deadline_s) >= needs_s
        place = sum(at <= each.at_s for at, _ in there)
        ends, _ = replay(pace, [*there[:place], (each.at_s, each), *there[place:]])
        if ends.pop(place) - each.at_s > deadline_s:
            continue
        still = [end - at <= deadline_s for end, (at, _) in zip(ends, there, strict=True)]
        wrong += all(after or not before for before, after in zip(in_time, still, strict=True))
    return Verdict(len(chosen), wrong, spare, error)


def _as_fast_as_it_was(pace: Pace, replay: Replay, there: Sequence[tuple[float, Ended]]) -> Pace:
    """The pace at which answered requests take in the replay what they really took, in the middle: runs are not all
    that a server does, and what comes between them is counted nowhere."""
    real = [(index, each.took_s) for index, (_, each) in enumerate(there) if each.how == ANSWERED]
    if not real:
        return pace
    slowest, fastest = SLOWEST, 1 / SLOWEST
    for _ in range(TRIES):
        factor = (slowest * fastest) ** 0.5
        ends, _ = replay(pace.times(factor), there)
        if float(np.median([(ends[index] - there[index][0]) / took_s for index, took_s in real])) > 1:
            slowest = factor
        else:
            fastest = factor
    told = slowest < SLOWEST and fastest > 1 / SLOWEST
    return pace.times((slowest * fastest) ** 0.5) if told else pace


def _within(idle: Sequence[tuple[float, float]], begin_s: float, end_s: float) -> float:
    """Seconds of ``idle`` between two moments."""
    return sum(max(0.0, min(until, end_s) - max(since, begin_s)) for since, until in idle)
