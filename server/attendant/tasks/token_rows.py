"""Tokens to rows: special tokens around them, the length that a model allows, truncation, windows."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
from tokenizers import Tokenizer

from attendant.bundle import TextInput
from attendant.bundle.graph_io import PACKED
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.tasks.cuts import kept, shares
from attendant.tasks.frames import Frame, Place, TokenRow
from attendant.tasks.known_ids import Ids, check_known, first_unknown, spelt
from attendant.tasks.text import Ints, Tokens

MAX_WINDOWS = 256
"""Of one text. More is an error: one input could hold a model for minutes."""


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

    def shorter(self, most: int) -> RowMaker:
        """The same for rows of at most so many tokens, special ones included. Raises InvalidRequest: that leaves no
        room for a text."""
        least = self.single_frame.size + 1
        if most < least:
            raise InvalidRequest("max_tokens", f"is {most}; allowed: at least {least}, special tokens included")
        made = copy(self)
        made.max_tokens = min(most, self.max_tokens)
        return made

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

    def given(
        self, token_ids: Ids, type_ids: Ids | None = None, *, truncate: bool, field: str, left: bool = False
    ) -> TokenRow:
        """A row of tokens that the caller made, special ones included.

        Args:
            type_ids: of the tokens, as many; None: zeros.

        Raises:
            InvalidRequest: empty, an id that is not in the vocabulary, a type that the model's own rows do not have, or
                as :meth:`single`.
        """
        too_long = self._check(len(token_ids), 0, True, 0, truncate, field)
        ids = np.array(token_ids, np.int64)
        check_known(self._tokenizer, ids, self._vocab_size, field)
        types = self._types(type_ids, ids, field)
        if too_long:
            stay = self._cut(ids, left)
            ids, types = ids[stay], types[stay]
        self._check_end(ids, field)
        return TokenRow(ids, types, Place(0, len(ids)), truncated=too_long)

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
        """Places of as many of given tokens as fit, with the special ones at the end that is cut, if they have
        those."""
        places = np.arange(len(ids))
        if left:
            before = self.single_frame.before_ids
            head = places[: len(before) if len(before) and np.array_equal(ids[: len(before)], before) else 0]
            tail = places[kept(len(ids), max(self.max_tokens - len(head), 0), left)]
            return np.concatenate([head, tail])[: self.max_tokens]
        after = self.single_frame.after_ids
        tail = places[-len(after) :] if len(after) and np.array_equal(ids[-len(after) :], after) else places[:0]
        return np.concatenate([places[: max(self.max_tokens - len(tail), 0)], tail])[: self.max_tokens]

    def _types(self, type_ids: Ids | None, ids: Ints, field: str) -> Ints:
        if type_ids is None:
            return np.zeros_like(ids)
        types = np.array(type_ids, np.int64)
        allowed = sorted(self.single_frame.types | self.pair_frame.types | {0}) if self._with_types else [0]
        if types.shape != ids.shape or not np.isin(types, allowed).all():
            raise InvalidRequest(
                f"{field}.type_ids",
                f"has {len(types)} types, {sorted(set(types.tolist()))[:8]} among them; allowed: one for each of "
                f"{len(ids)} tokens, of {allowed}",
            )
        return types

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
