"""Texts that calls share."""

from __future__ import annotations

import random

WORDS = ("order", "refund", "parcel", "late", "blue", "city", "card", "Monday")


def beginning(number: int, count: int) -> str:
    """So many words, others for each number."""
    return " ".join(random.Random(number).choices(WORDS, k=count))
