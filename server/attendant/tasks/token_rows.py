"""Tokens to rows: special tokens around them, the length that a model allows, truncation, windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from attendant.bundle import TextInput
from attendant.bundle.graph_io import PACKED
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.tasks.cuts import kept, shares
from attendant.tasks.known_ids import check_known, first_unknown, spelt
from attendant.tasks.text import Ints, Tokens

MAX_WINDOWS = 256
"""Of one text. More is an error: one input could hold a model for minutes."""


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


class RowMaker:
    """Rows of one model, of tokens that it knows. ``with_types``: whether its graph takes token_type_ids.

    Raises:
        ValueError: of no text can a row be made.
    """

    def __init__(self, tokenizer: Tokenizer, spec: TextInput, *, with_types: bool) -> None:
        self.single_frame = Frame(tokenizer, pair=False)
        self.pair_frame = Frame(tokenizer, pair=True)
        self.max_tokens = spec.max_tokens
        self._tokenizer = tokenizer
        self._end_id = spec.end_id
        self._vocab_size: int = spec.vocab_size or tokenizer.get_vocab_size()
        self._with_types = with_types
        special = np.concatenate([self.single_frame.ids, self.pair_frame.ids])
        at = first_unknown(special, self._vocab_size)
        if at is not None and spec.vocab_size is not None:
            raise ValueError(
                f"the tokenizer puts {spelt(tokenizer, int(special[at]))} around texts; allowed: 0 to "
                f"{self._vocab_size - 1}"
            )

    def arrays(self, row: TokenRow) -> Arrays:
        """A row's part of the graph's inputs."""
        types = {PACKED.token_type_ids.name: row.type_ids} if self._with_types else {}
        return {PACKED.input_ids.name: row.ids} | types

    def single(self, tokens: Tokens, *, truncate: bool, field: str, left: bool = False) -> TokenRow:
        """A row of one text, cut at its end, or with ``left`` at its begin.

        Raises:
            InvalidRequest: too long and not to be truncated; not one token; or one that the model does not know.
        """
        frame = self.single_frame
        room = max(self.max_tokens - frame.size, 0)
        too_long = self._check(len(tokens), frame.size, tokens.complete, len(tokens.text), truncate, field)
        part = kept(len(tokens), room, left)
        return self._known(frame.around(tokens.ids[part], skipped=part.start, truncated=too_long), field)

    def pair(self, first: Tokens, second: Tokens, *, truncate: bool, field: str, left: bool = False) -> TokenRow:
        """A row of two texts; what is too much is taken from the longer one, and then from both alike, from their ends
        or with ``left`` from their begins.

        Raises:
            InvalidRequest: as :meth:`single`.
        """
        frame = self.pair_frame
        complete = first.complete and second.complete
        characters = len(first.text) + len(second.text)
        too_long = self._check(len(first) + len(second), frame.size, complete, characters, truncate, field)
        num_first, num_second = shares(len(first), len(second), max(self.max_tokens - frame.size, 0))
        one, two = kept(len(first), num_first, left), kept(len(second), num_second, left)
        row = frame.around(
            first.ids[one], second.ids[two], skipped=two.start, first_skipped=one.start, truncated=too_long
        )
        return self._known(row, field)

    def given(self, token_ids: Sequence[int], *, truncate: bool, field: str, left: bool = False) -> TokenRow:
        """A row of tokens that the caller made, special ones included.

        Raises:
            InvalidRequest: empty, an id that is not in the vocabulary, or as :meth:`single`.
        """
        too_long = self._check(len(token_ids), 0, True, 0, truncate, field)
        ids = np.array(token_ids, np.int64)
        check_known(self._tokenizer, ids, self._vocab_size, field)
        if too_long:
            ids = self._cut(ids, left)
        return self._known(TokenRow(ids, np.zeros_like(ids), Place(0, len(ids)), truncated=too_long), field)

    def windows(self, tokens: Tokens, stride: int, field: str) -> list[TokenRow]:
        """Rows that together hold a text, each sharing ``stride`` tokens with the one before.

        Raises:
            InvalidRequest: too many windows, or a stride that leaves nothing to go on by.
        """
        room = self.max_tokens - self.single_frame.size
        return [
            self._known(self.single_frame.around(tokens.ids[start : start + room], skipped=start), field)
            for start in self._starts(tokens, room, stride, field)
        ]

    def pair_windows(self, first: Tokens, second: Tokens, stride: int, field: str) -> list[TokenRow]:
        """The same over the second of two texts; the first, which must leave room, is in every one."""
        room = self.max_tokens - self.pair_frame.size - len(first)
        return [
            self._known(self.pair_frame.around(first.ids, second.ids[start : start + room], skipped=start), field)
            for start in self._starts(second, room, stride, field)
        ]

    def window_limit(self, stride: int) -> int:
        """Tokens that fit into as many windows as are allowed; a text's are of interest up to there."""
        return self.max_tokens + (MAX_WINDOWS - 1) * max(1, self.max_tokens - self.single_frame.size - stride)

    def _cut(self, ids: Ints, left: bool) -> Ints:
        """As many of given tokens as fit, with the special ones at the end that is cut, if they have those."""
        if left:
            before = self.single_frame.before_ids
            head = before if len(before) and np.array_equal(ids[: len(before)], before) else ids[:0]
            tail = ids[kept(len(ids), max(self.max_tokens - len(head), 0), left)]
            return np.concatenate([head, tail])[: self.max_tokens]
        after = self.single_frame.after_ids
        tail = after if len(after) and np.array_equal(ids[-len(after) :], after) else ids[:0]
        return np.concatenate([ids[: max(self.max_tokens - len(tail), 0)], tail])[: self.max_tokens]

    def _known(self, row: TokenRow, field: str) -> TokenRow:
        check_known(self._tokenizer, row.ids, self._vocab_size, field)
        self._check_end(row.ids, field)
        return row

    def _check_end(self, ids: Ints, field: str) -> None:
        if self._end_id is not None and self._end_id not in ids:
            name = self._tokenizer.id_to_token(self._end_id)
            raise InvalidRequest(
                field,
                f"has no token {self._end_id} ({name!r}), which this model reads its answer off; allowed: one or more",
            )

    def _starts(self, tokens: Tokens, room: int, stride: int, field: str) -> Iterator[int]:
        if not 0 <= stride < room:
            raise InvalidRequest("stride", f"is {stride}; allowed: 0 to {room - 1}, less than a window's {room} tokens")
        step = room - stride
        num_windows = 1 + max(0, -(-(len(tokens) - room) // step))
        if num_windows > MAX_WINDOWS or not tokens.complete:
            raise InvalidRequest(
                field,
                f"has {_length(len(tokens), tokens.complete, len(tokens.text))}, more than {MAX_WINDOWS} windows hold; "
                f"allowed: at most {room + (MAX_WINDOWS - 1) * step} tokens with this stride",
            )
        return iter(range(0, num_windows * step, step))

    def _check(
        self, num_tokens: int, num_special: int, complete: bool, characters: int, truncate: bool, field: str
    ) -> bool:
        """Whether the input is too long."""
        total = num_tokens + num_special
        if not total:
            raise InvalidRequest(field, "has no tokens; allowed: at least one")
        if total <= self.max_tokens and complete:
            return False
        if not truncate:
            raise InvalidRequest(
                field,
                f"has {_length(total, complete, characters)}, special ones included; allowed: at most "
                f"{self.max_tokens}, or any number with truncate",
            )
        return True


def _length(num_tokens: int, complete: bool, characters: int) -> str:
    return f"{num_tokens} tokens" if complete else f"more than {num_tokens} tokens ({characters} characters)"


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
