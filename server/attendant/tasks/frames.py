"""The special tokens of a model around texts, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from attendant.tasks.text import Ints


@dataclass(frozen=True, slots=True)
class Place:
    """Where tokens of a text stand in a row: ``count`` of them from ``start`` on, the text's from ``skipped`` on."""

    start: int = 0
    count: int = 0
    skipped: int = 0

    @property
    def in_row(self) -> slice:
        """The slice of the row's tokens."""
        return slice(self.start, self.start + self.count)

    @property
    def in_text(self) -> slice:
        """The slice of the text's tokens."""
        return slice(self.skipped, self.skipped + self.count)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row of tokens.

    Attributes:
        ids, type_ids: [n] int64, special tokens included.
        first, second: where the tokens of the text and of the second text stand; what is in neither is special.
        truncated: whether some tokens of the input are not in it.
    """

    ids: Ints
    type_ids: Ints
    first: Place
    second: Place = Place()
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)


class Frame:
    """The special tokens of a model around one text, or around and between two. Read off its tokenizer."""

    def __init__(self, tokenizer: Tokenizer, *, pair: bool) -> None:
        encoding = _probe(tokenizer, pair)
        sequences = np.array([-1 if s is None else s for s in encoding.sequence_ids])
        ids, types = np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64)
        first, last = np.flatnonzero(sequences == 0)[[0, -1]]
        self._before = ids[:first], types[:first]
        self._first_type = types[first]
        self._pair = pair
        if pair:
            second, end = np.flatnonzero(sequences == 1)[[0, -1]]
            self._between = ids[last + 1 : second], types[last + 1 : second]
            self._second_type = types[second]
        else:
            end = last
            self._between = ids[:0], types[:0]
            self._second_type = types[first]
        self._after = ids[end + 1 :], types[end + 1 :]
        self.size = sum(len(part[0]) for part in (self._before, self._between, self._after))

    @property
    def ids(self) -> Ints:
        """All of its special tokens."""
        return np.concatenate([self._before[0], self._between[0], self._after[0]])

    @property
    def types(self) -> set[int]:
        """The types that tokens of a row have."""
        around = np.concatenate([self._before[1], self._between[1], self._after[1]])
        return {int(self._first_type), int(self._second_type), *around.tolist()}

    @property
    def before_ids(self) -> Ints:
        """Special tokens at the begin."""
        return self._before[0]

    @property
    def after_ids(self) -> Ints:
        """Special tokens at the end."""
        return self._after[0]

    @property
    def num_before(self) -> int:
        """Special tokens at the begin."""
        return len(self._before[0])

    def around(
        self,
        first: Ints,
        second: Ints | None = None,
        *,
        skipped: int = 0,
        first_skipped: int = 0,
        truncated: bool = False,
    ) -> TokenRow:
        """A row. ``skipped``: tokens that the last text has before these; ``first_skipped``: the same of the first of
        two."""
        second_ids = second if second is not None else first[:0]
        ids = np.concatenate([self._before[0], first, self._between[0], second_ids, self._after[0]])
        type_ids = np.concatenate(
            [
                self._before[1],
                np.full(len(first), self._first_type),
                self._between[1],
                np.full(len(second_ids), self._second_type),
                self._after[1],
            ]
        )
        place = Place(self.num_before, len(first), first_skipped if self._pair else skipped)
        start = place.start + place.count + len(self._between[0])
        return TokenRow(ids, type_ids, place, Place(start, len(second_ids), skipped), truncated)


def _probe(tokenizer: Tokenizer, pair: bool) -> Any:
    """An encoding that has tokens of every text it was made of."""
    for text in ("a", "0", ".", "the", "\u4e00", *_some_tokens(tokenizer)):
        encoding = tokenizer.encode(text, text) if pair else tokenizer.encode(text)
        if 0 in encoding.sequence_ids and (not pair or 1 in encoding.sequence_ids):
            return encoding
    raise ValueError("the tokenizer makes no tokens of any text that was tried")


def _some_tokens(tokenizer: Tokenizer) -> Iterator[str]:
    for token_id in range(min(256, tokenizer.get_vocab_size())):
        yield tokenizer.decode([token_id], skip_special_tokens=False)
