"""Logits at mask tokens to the tokens that fit there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from attendant.core.errors import InvalidRequest
from attendant.tasks.frames import TokenRow
from attendant.tasks.spans import Span
from attendant.tasks.text import Ints, Tokens
from attendant.tasks.vectors import Floats, best, softmax

DEFAULT_FILLS = 5
MAX_FILLS = 100
"""For one mask."""

MAX_MASKS = 64
"""Of one text."""

MAX_FILLED_CHARACTERS = 32_000_000
"""Of all filled texts of a call: each fill holds its whole text."""

_WORD_MARK = "\u2581"  # stands before words in SentencePiece vocabularies


@dataclass(frozen=True, slots=True)
class Fill:
    """A token for a mask: its spelling as text, its probability, and the text with it in the mask's place."""

    token_id: int
    token: str
    score: float
    text: str


def check_filled_size(num_characters: int) -> None:
    """Raises InvalidRequest if the filled texts of a call would have too many characters together."""
    if num_characters > MAX_FILLED_CHARACTERS:
        raise InvalidRequest(
            "texts",
            f"make filled texts of {num_characters} characters (length x masks x top_k); allowed: at most "
            f"{MAX_FILLED_CHARACTERS} in one call",
        )


@dataclass(frozen=True, slots=True)
class FilledMask:
    """One mask of a text, and the best tokens for it."""

    span: Span
    fills: tuple[Fill, ...]


class MaskFiller:
    """Fills masks with the words of one model."""

    def __init__(self, tokenizer: Tokenizer, mask_id: int) -> None:
        self._tokenizer = tokenizer
        self._mask_id = mask_id
        self._vocab_size: int = tokenizer.get_vocab_size()
        self._continuation: str = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""
        added = tokenizer.get_added_tokens_decoder().get(mask_id)
        self._takes_space_before = bool(added is not None and added.lstrip)

    def masks(self, row: TokenRow, field: str) -> Ints:
        """Where the masks of a row are, indices [m] int64 into its tokens.

        Raises:
            InvalidRequest: nowhere, or at too many places.
        """
        found = np.flatnonzero(row.ids == self._mask_id).astype(np.int64)
        if not len(found):
            cut = " in the part that truncation left" if row.truncated else ""
            name = self._tokenizer.id_to_token(self._mask_id)
            raise InvalidRequest(field, f"has no mask token{cut}; allowed: at least one {name}")
        if len(found) > MAX_MASKS:
            raise InvalidRequest(field, f"has {len(found)} masks; allowed: 1 to {MAX_MASKS}")
        return found

    def fill(
        self, tokens: Tokens, row: TokenRow, masks: Ints, logits: Floats, top_k: int = DEFAULT_FILLS
    ) -> tuple[FilledMask, ...]:
        """The best tokens for each mask.

        Args:
            tokens: with spans. row: made of them. masks: [m], where they are in the row.
            logits: [m, vocab_size] float32.
        """
        scores = softmax(logits)
        place = row.first
        return tuple(
            self._filled(tokens.text, tokens.spans[place.skipped + mask - place.start], values, top_k)
            for mask, values in zip(masks, scores, strict=True)
        )

    def _filled(self, text: str, span: Sequence[int] | Ints, scores: Floats, top_k: int) -> FilledMask:
        start, end = int(span[0]), int(span[1])
        chosen = best(scores[: self._vocab_size], top_k)
        fills = tuple(self._fill(text, start, end, int(token), float(scores[token])) for token in chosen)
        return FilledMask(Span(start, end), fills)

    def _fill(self, text: str, start: int, end: int, token_id: int, score: float) -> Fill:
        spelling: str = self._tokenizer.id_to_token(token_id) or ""
        if self._continuation and spelling.startswith(self._continuation):  # goes on with the word before
            word = spelling.removeprefix(self._continuation)
            return Fill(token_id, word, score, text[:start].rstrip() + word + text[end:])
        word = self._tokenizer.decode([token_id], skip_special_tokens=False)
        if spelling.startswith(_WORD_MARK) and not word.startswith(" "):
            word = f" {word}"
        before = text[:start]
        if self._takes_space_before:  # and gives it back with tokens that begin with one
            before = before.rstrip()
            filled = before + (word if before else word.lstrip())
        else:
            filled = before + (word.lstrip() if not before or before[-1].isspace() else word)
        return Fill(token_id, word.strip(), score, filled + text[end:])
