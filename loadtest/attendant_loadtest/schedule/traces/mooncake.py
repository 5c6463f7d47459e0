"""Mooncake's traces (``FAST25-release/traces`` of kvcache-ai/Mooncake): one request a line.

``{"timestamp": 3000, "input_length": 915, "output_length": 355, "hash_ids": [0, 462]}``. Timestamps are milliseconds.
Each hash id is a block of 512 tokens, the last one what is left; equal ids at the beginning are a prefix in common.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attendant_loadtest.schedule.mix import OWN
from attendant_loadtest.schedule.planned import Planned, Schedule, Segment, in_order
from attendant_loadtest.schedule.traces.lines import Place, objects

BLOCK = 512
"""Tokens of a block."""


def read_mooncake(path: Path, most: int | None = None) -> Schedule:
    """See :func:`attendant_loadtest.schedule.traces.read_trace`. A line may be without ``hash_ids``."""
    found = [_request(place, number, values) for number, (place, values) in enumerate(objects(path, most))]
    first_ms = min((ms for ms, _, _ in found), default=0.0)
    return in_order(Planned((ms - first_ms) / 1000, segments, answer) for ms, segments, answer in found)


def _request(place: Place, number: int, values: dict[str, Any]) -> tuple[float, tuple[Segment, ...], int]:
    length = place.whole("input_length", values.get("input_length"), 1)
    ids = values.get("hash_ids", [])
    if not isinstance(ids, list):
        raise place.wrong("hash_ids", ids, "a list of numbers")
    keys = [place.whole("a hash id", each) for each in ids]
    last = length - BLOCK * (len(keys) - 1)
    if keys and last < 1:
        raise place.wrong("input_length", length, f"more than {BLOCK * (len(keys) - 1)} with {len(keys)} hash_ids")
    sizes = [BLOCK] * (len(keys) - 1) + [last]
    segments = tuple(map(Segment, keys, sizes)) if keys else (Segment(OWN + number, length),)
    # An answer may have no tokens at all there; a request here asks for one.
    answer = max(1, place.whole("output_length", values.get("output_length")))
    return place.seconds("timestamp", values.get("timestamp")), segments, answer
