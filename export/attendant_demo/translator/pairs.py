"""Which two words stand together: some pairs are kept from training, to see what was learned of each word alone."""

from __future__ import annotations

import hashlib

_KEPT = 20


class WordPairs:
    """Pairs of a noun and its adjective, or of a verb and its object. One in twenty is new to the model.

    Args:
        new: whether new pairs are allowed.
    """

    def __init__(self, *, new: bool) -> None:
        self._new = new
        self.num_new = 0

    def allow(self, first: str, second: str) -> bool:
        """Whether the two may stand together."""
        return self._new or bucket(f"{first} {second}", _KEPT) != 0

    def use(self, first: str, second: str) -> None:
        """Counts the pair if it is new."""
        self.num_new += bucket(f"{first} {second}", _KEPT) == 0


def bucket(text: str, count: int) -> int:
    """A number from 0 to ``count`` - 1 that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % count
