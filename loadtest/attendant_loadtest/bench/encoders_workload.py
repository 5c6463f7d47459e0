"""Texts of known numbers of tokens: all equally long, or of lengths that are uniform on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_GLUED = 0.25
"""Share of words that are made of two, so that a tokenizer of words has some to take apart."""


class Texts:
    """Makes texts for one tokenizer; no two are alike."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._num_special: int = tokenizer.num_special_tokens_to_add(False)
        words = sorted(token for token in tokenizer.get_vocab() if len(token) >= 4 and token.isalpha())
        self._words = np.array(words or ["some", "plain", "words"])

    def of_lengths(self, lengths: Sequence[int], seed: int) -> list[str]:
        """A text of so many tokens, special ones included, for each of ``lengths``."""
        rng = np.random.default_rng(seed)
        return [self._text(length, rng) for length in lengths]

    def ids(self, text: str) -> list[int]:
        """Its tokens, special ones included."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def _text(self, length: int, rng: np.random.Generator) -> str:
        words = rng.choice(self._words, length + 1)
        spaces = np.where(rng.random(length + 1) < _GLUED, "", " ")
        text = "".join(word + space for word, space in zip(words, spaces, strict=True))
        ends = [end for _, end in self._tokenizer.encode(text, add_special_tokens=False).offsets]
        return text[: ends[max(1, length - self._num_special) - 1]]


def mixed_lengths(count: int, shortest: int, longest: int, seed: int) -> list[int]:
    """``count`` lengths from ``shortest`` to ``longest``, their logarithms uniform."""
    rng = np.random.default_rng(seed)
    lengths: list[int] = np.exp(rng.uniform(np.log(shortest), np.log(longest + 1), count)).astype(int).tolist()
    return lengths
