"""How much JSON of a caller is parsed: a parser keeps everybody else waiting."""

from __future__ import annotations

from attendant.core.errors import InvalidRequest

MOST_VALUES = 2**20
"""Values of a JSON text, lists and objects included."""


def check_values(text: str, field: str) -> None:
    """See that parsing a JSON text does not hold up everybody else for long. Marks within strings count, too.

    Raises:
        InvalidRequest: it may have more values than are read.
    """
    if len(text) > MOST_VALUES and sum([text.count(mark) for mark in ",[{"]) > MOST_VALUES:
        raise InvalidRequest(field, f"has more than {MOST_VALUES:,} values; allowed: at most so many")
