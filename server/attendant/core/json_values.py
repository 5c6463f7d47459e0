"""How much JSON of a caller is parsed: a parser keeps everybody else waiting."""

from __future__ import annotations

import re
from typing import Any

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


def is_deeper(value: Any, most: int) -> bool:
    """Whether a value has more levels of lists and objects within each other."""
    level = [value]
    for _ in range(most + 1):
        level = [each for each in level if isinstance(each, (dict, list, tuple))]
        if not level:
            return False
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return True


def text_is_deeper(text: str, most: int) -> bool:
    """The same for what a JSON text says, without parsing it."""
    if text.count("[") + text.count("{") <= most:
        return False
    depth = 0
    for mark in _MARKS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth > most:
            return True
    return False


_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Texts, and what begins and ends lists and objects outside of them."""
