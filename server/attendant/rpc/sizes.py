"""From when on a request is read, or a response written, in a thread: the loop would stand still for too long."""

from __future__ import annotations

from collections.abc import Sequence

from attendant.tasks.masks import FilledMask

LARGE_REQUEST = 65_536
"""Bytes of a request, or of the texts in it."""

MANY_RESULTS = 128
"""Results of a response."""

_CHARACTERS_OF_A_RESULT = 1000


def num_parts(results: Sequence[Sequence[object]]) -> int:
    """Of results that consist of several."""
    return sum(map(len, results))


def num_fills(results: Sequence[Sequence[FilledMask]]) -> int:
    """Of filled masks, where each long text counts as several."""
    fills = (fill for masks in results for mask in masks for fill in mask.fills)
    return sum(1 + len(fill.text) // _CHARACTERS_OF_A_RESULT for fill in fills)
