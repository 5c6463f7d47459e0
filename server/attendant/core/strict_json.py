"""Reads JSON as its standard has it: Python's own reader takes NaN and Infinity for numbers of it."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def read_json(text: str) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: it is no JSON, or is nested too deeply to be read; says what is wrong.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"it has {word}")
