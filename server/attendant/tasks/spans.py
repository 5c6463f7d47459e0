"""A piece of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Code points of a text, from ``start`` up to but not including ``end``."""

    start: int = 0
    end: int = 0
