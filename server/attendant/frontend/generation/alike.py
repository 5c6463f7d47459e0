"""Newcomers that are so nearly alike that one look ahead does for all of them."""

from __future__ import annotations

from attendant.engine.step_rules import Course

MANY = 16
"""Sequences from which on newcomers that are nearly alike are looked at once."""

FINENESS = 8
"""They are alike if the tokens of their prompts, and those of their answers, are the same to one part in so many of
their power of two; a newcomer is taken to be as large as the largest of these."""


def alike(course: Course) -> Course:
    """The largest that is alike."""
    return course._replace(missing=rounded(course.missing), answer=rounded(course.answer), least=course.least)


def rounded(number: int) -> int:
    """Up to a multiple of one part in ``FINENESS`` of its power of two."""
    step = max(1 << max(number.bit_length() - 1, 0), FINENESS) // FINENESS
    return -(-number // step) * step
