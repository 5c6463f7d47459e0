"""Lines of a trace, and what is said of one that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attendant_loadtest.schedule.planned import BadSchedule


class Place:
    """Where a value stands. Called with a name, a value and what is allowed it makes the error."""

    def __init__(self, path: Path, line: int) -> None:
        self._where = f"{path}:{line}"

    def wrong(self, name: str, value: object, allowed: str) -> BadSchedule:
        """The error of a value."""
        return BadSchedule(f"{self._where}: {name} is {value!r}; allowed: {allowed}")

    def whole(self, name: str, value: Any, least: int = 0) -> int:
        """A whole number of at least so much, however it is written."""
        try:
            number = int(value) if not isinstance(value, float) else int(value) if value.is_integer() else None
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or number < least:
            raise self.wrong(name, value, f"a whole number, at least {least}")
        return number

    def seconds(self, name: str, value: Any) -> float:
        """A number of at least 0."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if isinstance(value, bool) or not 0 <= number < float("inf"):
            raise self.wrong(name, value, "a number, at least 0")
        return number


def objects(path: Path, most: int | None) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The objects of a file with one of JSON on each line; empty lines are left out.

    Raises:
        BadSchedule
    """
    found = 0
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            if found == most:
                return
            found += 1
            place = Place(path, number)
            try:
                values = json.loads(line)
            except ValueError:
                values = None
            if not isinstance(values, dict):
                raise place.wrong("the line", line.strip()[:80], "an object of JSON")
            yield place, values
