"""Sequences of tokens with a number each, looked up by what a text ends with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy.typing as npt


class TokenSequences:
    """Sequences of one token or more, and a number for each; of equal sequences the last counts.

    Args:
        entries: pairs of token ids, at least one, and a number.
    """

    __slots__ = ("_longer", "entries", "single")

    def __init__(self, entries: Iterable[tuple[Sequence[int], float]] = ()) -> None:
        numbers = {tuple(tokens): number for tokens, number in entries}
        self.entries = tuple(numbers.items())
        self.single = {tokens[0]: number for tokens, number in self.entries if len(tokens) == 1}
        self._longer: dict[int, list[tuple[tuple[int, ...], int, float]]] = {}
        for tokens, number in self.entries:
            if len(tokens) > 1:
                self._longer.setdefault(tokens[-2], []).append((tokens[:-1], tokens[-1], number))

    def completing(self, tokens: npt.NDArray[Any]) -> list[tuple[int, float]]:
        """The last token, and the number, of each sequence of several tokens that ``tokens`` [n] end with all but the
        last of."""
        if not self._longer or len(tokens) == 0:
            return []
        found = []
        for first, last, number in self._longer.get(int(tokens[-1]), ()):
            if len(first) <= len(tokens) and tuple(tokens[len(tokens) - len(first) :].tolist()) == first:
                found.append((last, number))
        return found

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenSequences) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        return f"TokenSequences({self.entries!r})"
