"""BurstGPT's traces (``data/*.csv`` of HPMLL/BurstGPT): a table with commas.

Columns that count: ``Timestamp`` (seconds), ``Request tokens``, ``Response tokens``. What failed there has no tokens of
a request or of a response, and is left out. ``Session ID``, where there is one, tells which requests go on with a
conversation, but not what they share: every prompt is its own.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from attendant_loadtest.schedule.mix import OWN
from attendant_loadtest.schedule.planned import BadSchedule, Planned, Schedule, Segment, in_order
from attendant_loadtest.schedule.traces.lines import Place

AT, PROMPT, ANSWER = COLUMNS = ("Timestamp", "Request tokens", "Response tokens")


def read_burstgpt(path: Path, most: int | None = None) -> Schedule:
    """See :func:`attendant_loadtest.schedule.traces.read_trace`."""
    rows = list(itertools.islice(_rows(path), most))
    first_s = min((at_s for at_s, _, _ in rows), default=0.0)
    return in_order(
        Planned(at_s - first_s, (Segment(OWN + number, prompt),), answer)
        for number, (at_s, prompt, answer) in enumerate(rows)
    )


def _rows(path: Path) -> Iterator[tuple[float, int, int]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise BadSchedule(f"{path} has no column {missing[0]!r}; allowed: a table with {', '.join(COLUMNS)}")
        for row in reader:
            place = Place(path, reader.line_num)
            at_s, prompt, answer = (
                place.seconds(AT, row[AT]),
                place.whole(PROMPT, row[PROMPT]),
                place.whole(ANSWER, row[ANSWER]),
            )
            if prompt and answer:
                yield at_s, prompt, answer
