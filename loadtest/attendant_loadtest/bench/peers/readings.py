"""What was measured, round by round; rounds of several runs of the benchmark can be put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

QUIET = 0.1
"""Processors that foreign processes may use in a round that counts, where there are such rounds."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure, and the processors that foreign processes used meanwhile."""

    value: float
    others: float = 0.0


Round = Mapping[str, Mapping[str, Reading]]
"""Readings by measure, and by way: one of ours or a peer. All were taken in turn, so ratios within one hold."""


def values(rounds: Sequence[Round], measure: str, *ways: str) -> list[tuple[float, ...]]:
    """The figures of ``ways``, of each round that has all of them; of quiet rounds only, if there are any."""
    found = [
        [readings[way] for way in ways]
        for readings in (one.get(measure, {}) for one in rounds)
        if all(way in readings for way in ways)
    ]
    calm = [readings for readings in found if all(reading.others <= QUIET for reading in readings)]
    return [tuple(reading.value for reading in readings) for readings in calm or found]


def num_quiet(rounds: Sequence[Round], measure: str, *ways: str) -> int:
    """The number of rounds in which foreign processes left the machine to ``ways``."""
    found = [readings for one in rounds if all(way in (readings := one.get(measure, {})) for way in ways)]
    return sum(all(readings[way].others <= QUIET for way in ways) for readings in found)


def as_json(rounds: Sequence[Round]) -> list[Any]:
    """The rounds, for a file."""
    return [{what: {way: asdict(r) for way, r in found.items()} for what, found in one.items()} for one in rounds]


def read(file: Path, *path: str) -> list[Round]:
    """Rounds that :func:`as_json` made, from where ``path`` leads in a file; none if it leads nowhere."""
    found = json.loads(file.read_text(encoding="utf-8"))
    for key in path:
        found = found.get(key, {})
    return [
        {what: {way: Reading(**reading) for way, reading in ways.items()} for what, ways in one.items()}
        for one in found or []
    ]
