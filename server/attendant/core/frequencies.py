"""Rotary embeddings that change with the length of a sequence: how position_ids tell a graph which ones hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["two", "each"]
LENGTH_BITS = 32


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Frequencies of a model that was trained with sequences of ``after`` tokens.

    two: a sequence that is longer has other ones, for all of its tokens: where it grows past that length, all are
    computed anew. Its position_ids are ``after`` larger than its positions.

    each: every length has its own. A prompt has those of its length, a generated token those of the length with it.
    Where that is more than ``after``, position_ids are the position and 2 ** 32 times that length.
    """

    kind: Kind
    after: int

    def shift(self, num_prompt: int, num_tokens: int, start: int) -> int:
        """What position_ids of tokens from position ``start`` on are larger by, all of them of the prompt or one.

        Args:
            num_prompt, num_tokens: tokens of the prompt, and of the sequence as far as it is known.
        """
        if self.kind == "two":
            return self.after if num_tokens > self.after else 0
        length = max(num_prompt, start + 1)
        return length << LENGTH_BITS if length > self.after else 0

    def begins_anew(self, num_tokens: int) -> bool:
        """Whether the token that made ``num_tokens`` of a sequence changes those before it."""
        return self.kind == "two" and num_tokens == self.after + 1
