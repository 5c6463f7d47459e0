"""A trace of our own: all that a schedule knows, one request a line.

``{"at_s": 0.25, "segments": [[7, 512], [4294967296, 40]], "answer": 64, "priority": 5, "deadline_s": 4}``. There may be
``cancel_after``, too. A ``prompt`` with a number of tokens may stand in place of ``segments``; what comes after
``answer`` may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attendant_loadtest.schedule.mix import OWN
from attendant_loadtest.schedule.planned import Planned, Schedule, Segment, in_order
from attendant_loadtest.schedule.traces.lines import Place, objects

NAMES = frozenset({"at_s", "segments", "prompt", "answer", "priority", "deadline_s", "cancel_after"})


def read_native(path: Path, most: int | None = None) -> Schedule:
    """See :func:`attendant_loadtest.schedule.traces.read_trace`."""
    return in_order(_request(place, number, values) for number, (place, values) in enumerate(objects(path, most)))


def write_native(path: Path, schedule: Iterable[Planned]) -> None:
    """Write a schedule so that it is read again as it is."""
    with path.open("w", encoding="utf-8") as file:
        for each in schedule:
            values: dict[str, Any] = {"at_s": each.at_s, "segments": each.segments, "answer": each.answer}
            values |= {"priority": each.priority} if each.priority else {}
            for name in ("deadline_s", "cancel_after"):
                if (value := getattr(each, name)) is not None:
                    values[name] = value
            file.write(json.dumps(values) + "\n")


def _request(place: Place, number: int, values: dict[str, Any]) -> Planned:
    if unknown := values.keys() - NAMES:
        raise place.wrong("a name", min(unknown), ", ".join(sorted(NAMES)))
    priority = values.get("priority", 0)
    if not isinstance(priority, int) or not -100 <= priority <= 100:
        raise place.wrong("priority", priority, "a whole number, -100 to 100")
    deadline_s = values.get("deadline_s")
    if deadline_s is not None and not (isinstance(deadline_s, int | float) and 0 < deadline_s < float("inf")):
        raise place.wrong("deadline_s", deadline_s, "a number greater than 0")
    cancel_after = values.get("cancel_after")
    return Planned(
        at_s=place.seconds("at_s", values.get("at_s")),
        segments=_segments(place, number, values),
        answer=place.whole("answer", values.get("answer"), 1),
        priority=priority,
        deadline_s=deadline_s,
        cancel_after=None if cancel_after is None else place.whole("cancel_after", cancel_after, 1),
    )


def _segments(place: Place, number: int, values: dict[str, Any]) -> tuple[Segment, ...]:
    if ("segments" in values) == ("prompt" in values):
        raise place.wrong("the prompt", values.get("segments"), "segments, or prompt, not both")
    if "prompt" in values:
        return (Segment(OWN + number, place.whole("prompt", values["prompt"], 1)),)
    given = values["segments"]
    if not isinstance(given, list) or not given or any(not isinstance(each, list) or len(each) != 2 for each in given):
        raise place.wrong("segments", given, "pairs of a key and a number of tokens, one pair at least")
    return tuple(Segment(place.whole("a key", key), place.whole("a segment", tokens, 1)) for key, tokens in given)
