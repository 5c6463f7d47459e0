"""What requests are like, apart from when they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from attendant_loadtest.schedule.arrivals import Arrivals
from attendant_loadtest.schedule.lengths import Fixed, Lengths
from attendant_loadtest.schedule.planned import BadSchedule, Planned, Schedule, Segment, random_of

OWN = 2**32
"""Keys of segments that only one prompt has begin here; those of families are below."""


@dataclass(frozen=True, slots=True)
class Families:
    """Prompts that begin alike: a system prompt, a document that is asked about.

    Attributes:
        count: how many families there are.
        prefix: how long what its prompts share is. The rest of a prompt comes after it.
        skew: how much more often some are asked than others: the n-th is as 1 / n ** skew (Zipf); 0: all alike.
    """

    count: int
    prefix: Lengths
    skew: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.count < OWN:
            raise BadSchedule(f"there are {self.count} families; allowed: 1 or more")
        if not 0 <= self.skew < float("inf"):
            raise BadSchedule(f"families have a skew of {self.skew:g}; allowed: 0 or more")

    def draw(self, number: int, seed: int) -> list[Segment]:
        """The beginning of each of so many prompts."""
        sizes = self.prefix.draw(self.count, random_of(seed, "prefixes"))
        weights = 1 / np.arange(1, self.count + 1) ** self.skew
        chosen = random_of(seed, "families").choice(self.count, number, p=weights / weights.sum())
        return [Segment(int(family), sizes[family]) for family in chosen]


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of requests.

    Attributes:
        prompts: tokens of a prompt that no other has.
        answers: tokens of an answer.
        families: what prompts begin with; None: no two prompts have a beginning in common.
        priorities: weights by priority.
        deadline_s: that each caller gives; None: none.
        cancels: the share of callers who break off, after any number of tokens alike.
    """

    prompts: Lengths
    answers: Lengths
    families: Families | None = None
    priorities: Mapping[int, float] = field(default_factory=lambda: {0: 1.0})
    deadline_s: float | None = None
    cancels: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.cancels <= 1:
            raise BadSchedule(f"the share of cancels is {self.cancels:g}; allowed: 0 to 1")
        if self.deadline_s is not None and not 0 < self.deadline_s < float("inf"):
            raise BadSchedule(f"a deadline is {self.deadline_s:g} s; allowed: greater than 0")
        weights = list(self.priorities.values())
        if not weights or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
            raise BadSchedule(f"weights of priorities are {weights}; allowed: 0 or more, not all 0")
        if wrong := [level for level in self.priorities if not -100 <= level <= 100]:
            raise BadSchedule(f"a priority is {wrong[0]}; allowed: -100 to 100")


def plan(arrivals: Arrivals, mix: Mix, seconds: float, seed: int) -> Schedule:
    """A schedule for so many seconds. The same seed gives the same; another rate changes nothing of what the requests
    are like.

    Raises:
        BadSchedule: nothing would come at all.
    """
    times = arrivals.times(seconds, seed)
    if not times:
        raise BadSchedule(f"nothing comes within {seconds:g} s; allowed: a longer time, or a higher rate")
    return requests(mix, times, seed)


def requests(mix: Mix, times: list[float], seed: int) -> Schedule:
    """Requests like that, due at these moments, which are in order."""
    number = len(times)
    prompts = mix.prompts.draw(number, random_of(seed, "prompts"))
    answers = mix.answers.draw(number, random_of(seed, "answers"))
    beginnings = [(each,) for each in mix.families.draw(number, seed)] if mix.families else [()] * number
    levels, weights = list(mix.priorities), np.array(list(mix.priorities.values()))
    chosen = random_of(seed, "priorities").choice(len(levels), number, p=weights / weights.sum())
    breaks_off = random_of(seed, "cancels").random(number) < mix.cancels
    after = random_of(seed, "cancelled").random(number)
    return tuple(
        Planned(
            at_s=at_s,
            segments=(*beginning, Segment(OWN + own, prompt)),
            answer=answer,
            priority=levels[level],
            deadline_s=mix.deadline_s,
            cancel_after=1 + int(share * answer) if broken else None,
        )
        for at_s, beginning, own, prompt, answer, level, broken, share in zip(
            times, beginnings, range(number), prompts, answers, chosen, breaks_off, after, strict=True
        )
    )


def alike(prompt: int, answer: int) -> Mix:
    """Requests of one size that have nothing in common."""
    return Mix(Fixed(prompt), Fixed(answer))
