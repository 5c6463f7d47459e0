"""How an error shows what was sent: as JSON, and no more of it than there is room for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def shown(value: Any, most: int = 60) -> str:
    """A value as an error shows it: as JSON, of which no more is written than the first ``most`` characters."""
    text = ""
    for piece in _written(value, most):
        text += piece
        if len(text) > most:
            return f"{text[:most]}..."
    return text


def _written(value: Any, most: int) -> Iterator[str]:
    """A value as JSON, piece by piece; of a text that is longer, ``most`` characters."""
    match value:
        case str():
            yield json.dumps(value[:most], ensure_ascii=False)
        case dict():
            yield "{"
            for number, (name, each) in enumerate(value.items()):
                yield f"{', ' if number else ''}{json.dumps(str(name)[:most], ensure_ascii=False)}: "
                yield from _written(each, most)
            yield "}"
        case list() | tuple():
            yield "["
            for number, each in enumerate(value):
                yield ", " if number else ""
                yield from _written(each, most)
            yield "]"
        case None | bool() | int() | float():
            yield json.dumps(value)
        case _:
            yield repr(value)
