"""What is promised of a model's speed, as an operator writes it: ``ttft 300ms p99``, ``latency 50ms p99``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_FORM = re.compile(
    r"(?:(?P<model>.+):)?\s*(?P<kind>ttft|itl|latency)\s+(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s)\s+p(?P<share>\d+(?:\.\d+)?)"
)
_SECONDS = {"ms": 1e-3, "s": 1.0}
GENERATING = frozenset({"ttft", "itl"})
"""Kinds of objectives of models that generate."""
ENCODING = frozenset({"latency"})
"""Kinds of objectives of models that encode."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of events, e.g. 0.99, that takes at most so many seconds."""

    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Objectives:
    """What is promised of one model; None: nothing.

    ``ttft``: from a request's arrival to its first token. ``itl``: between two tokens of an answer. ``latency``: from
    the arrival of a call on a model that encodes to its results.
    """

    ttft: Objective | None = None
    itl: Objective | None = None
    latency: Objective | None = None


@dataclass(frozen=True, slots=True)
class ObjectivesByModel:
    """What is promised of every model, and of single ones in its place: (model or None, kind, objective)."""

    entries: tuple[tuple[str | None, str, Objective], ...] = ()

    @classmethod
    def parse(cls, text: str) -> ObjectivesByModel:
        """Read objectives parted by commas, each ``[MODEL:] ttft|itl|latency LIMIT pSHARE``.

        Raises:
            ValueError: one has another form, is impossible, or there twice.
        """
        entries = tuple(_parsed(text))
        names = [entry[:2] for entry in entries]
        for model, kind in names:
            if names.count((model, kind)) > 1:
                raise ValueError(f"has {kind} of {model or 'all models'} twice; allowed: once")
        return cls(entries)

    def models(self, kinds: Collection[str]) -> frozenset[str]:
        """The models that have objectives of these kinds by name."""
        return frozenset(model for model, kind, _ in self.entries if model is not None and kind in kinds)

    def of(self, model: str) -> Objectives:
        """What holds for one model: its own, or that of all."""
        found = {kind: objective for name, kind, objective in self.entries if name is None}
        found |= {kind: objective for name, kind, objective in self.entries if name == model}
        return Objectives(**found)


def _parsed(text: str) -> Iterator[tuple[str | None, str, Objective]]:
    for part in filter(None, map(str.strip, text.split(","))):
        match = _FORM.fullmatch(part)
        if match is None:
            raise ValueError(
                f"has {part!r}; allowed: [MODEL:] ttft, itl or latency, a time in ms or s, a share, "
                "as in ttft 300ms p99"
            )
        seconds = float(match["number"]) * _SECONDS[match["unit"]]
        share = float(match["share"]) / 100
        if not (seconds > 0 and 0 < share < 1):
            raise ValueError(f"has {part!r}; allowed: more than 0 ms, and more than p0 and less than p100")
        yield match["model"] and match["model"].strip(), match["kind"], Objective(seconds, round(share, 9))
