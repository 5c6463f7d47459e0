"""The rows of the comparison, and who is compared with whom: ours with peers that are at least about as faithful."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attendant_loadtest.bench.peers.fidelity import Fidelity
from attendant_loadtest.bench.peers.judge import Judged
from attendant_loadtest.bench.peers.readings import Round, num_quiet, values
from attendant_loadtest.bench.peers.table import OURS, Aim

LIKE = 1.25
"""A peer is of like fidelity if its KL to the reference is at most so many times ours: closer is welcome, too."""

PROMPTS, DECODE = "prompts", "decode"
FIRST = ("first p50", "first p99")


@dataclass(frozen=True, slots=True)
class Way:
    """One of ours, or a peer, in one precision. ``bits``: of most weights that compute prompts, and decodes."""

    name: str
    bits: tuple[int, int]
    size_mb: float | None = None
    judged: Judged | None = None
    remark: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is."""
        return self.name.startswith(OURS)

    def fidelity(self, measure: str) -> Fidelity | None:
        """The fidelity of the runs that ``measure`` measures; the worse one's where it measures both kinds."""
        if self.judged is None:
            return None
        prompt = self.judged.prompt or self.judged.decode
        decode = self.judged.decode or prompt
        if measure == PROMPTS or measure in FIRST:
            return prompt
        if measure == DECODE or prompt is None or decode is None:
            return decode
        return max(prompt, decode, key=lambda found: found.kl)

    def class_of(self, measure: str) -> int:
        """Bits of the weights that ``measure`` is about."""
        return self.bits[0 if measure == PROMPTS or measure in FIRST else 1]


def our_bits(precision: str) -> tuple[int, int]:
    """The bits of one of our precisions."""
    if precision == "mixed":
        return 8, 4
    bits = {"fp32": 32, "int8": 8}.get(precision.partition("_")[0].partition("-")[0], 4)
    return bits, bits


@dataclass(frozen=True, slots=True)
class Versus:
    """A peer and the ratio of our figure to its: the median of the rounds' own ratios."""

    peer: str
    ratio: float
    quiet: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of one of our rows. ``like``: against the best of the peers of like fidelity; ``same_bits``: of those
    of as many bits, however faithful. None: there is no such peer."""

    what: str
    ours: str
    like: Versus | None
    same_bits: Versus | None
    aim: Aim | None

    @property
    def met(self) -> bool | None:
        """Whether the aim is, at like fidelity; None: it cannot be told."""
        return None if self.aim is None or self.like is None else self.aim.met(self.like.ratio)


@dataclass(frozen=True, slots=True)
class Standing:
    """All that was found about one model."""

    ways: Sequence[Way]
    rounds: Sequence[Round]
    aims: Mapping[str, Aim | None] = field(default_factory=dict)
    """By measure, in the table's order."""

    def figure(self, way: Way, measure: str) -> float | None:
        """Its median; None: not measured."""
        found = values(self.rounds, measure, way.name)
        return statistics.median(value for (value,) in found) if found else None

    def comparisons(self) -> list[Comparison]:
        """Each of ours in each measure in which some peer was measured beside it."""
        found = []
        for ours in (way for way in self.ways if way.ours):
            for measure, aim in self.aims.items():
                like = self._best(ours, measure, [way for way in self.ways if _as_faithful(way, ours, measure)])
                class_ = [way for way in self.ways if way.class_of(measure) == ours.class_of(measure)]
                same_bits = self._best(ours, measure, class_)
                if like or same_bits:
                    found.append(Comparison(measure, ours.name, like, same_bits, aim))
        return found

    def _best(self, ours: Way, measure: str, among: Sequence[Way]) -> Versus | None:
        """The peer that leaves us the worst ratio."""
        against = []
        for peer in among:
            pairs = [] if peer.ours else values(self.rounds, measure, ours.name, peer.name)
            if pairs:
                ratio = statistics.median(one / other for one, other in pairs)
                against.append(Versus(peer.name, ratio, num_quiet(self.rounds, measure, ours.name, peer.name)))
        smaller_is_better = measure in FIRST
        worst = max if smaller_is_better else min
        return worst(against, key=lambda found: found.ratio) if against else None


def _as_faithful(peer: Way, ours: Way, measure: str) -> bool:
    """The rule of like fidelity."""
    theirs, own = peer.fidelity(measure), ours.fidelity(measure)
    return theirs is not None and own is not None and theirs.kl <= LIKE * own.kl
