"""Text to tokens that know where in the text they stand."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from attendant.tasks.cuts import kept
from attendant.tasks.patterns import matching

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_HEAD_CHARACTERS = 20_000
_CHARACTERS_PER_TOKEN = 8
_GROWTH = 4
_BREAK_WITHIN = 1_000  # characters in which a cut looks for white space


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text, without special ones.

    Attributes:
        text: all of it.
        ids: [n] int64.
        spans: [n, 2] int64, start and end in code points of ``text``, without white space at either end; zeros unless
            they were asked for.
        starts_word: [n] bool, whether a token begins a word; all True unless spans were asked for.
        complete: False if the text goes on behind the last token (or, if it was read from its end, before the first),
            because it has far more than were asked for.
    """

    text: str
    ids: Ints
    spans: Ints
    starts_word: Bools
    complete: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, most: int, *, left: bool = False) -> Tokens:
        """The first so many tokens, or with ``left`` the last ones, as if there were no others; itself if it has no
        more."""
        if self.complete and len(self) <= most:
            return self
        part = kept(len(self), most, left)
        return replace(
            self, ids=self.ids[part], spans=self.spans[part], starts_word=self.starts_word[part], complete=True
        )


class TextTokenizer:
    """A tokenizer, used without truncation, padding and special tokens. Methods may run in any thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocab_size: int = tokenizer.get_vocab_size()
        added = tokenizer.get_added_tokens_decoder()
        self._special_ids = frozenset(index for index, token in added.items() if token.special)
        self._continuation: str = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""
        unknown = getattr(tokenizer.model, "unk_token", None)
        self._unknown_id: int | None = tokenizer.token_to_id(str(unknown)) if unknown is not None else None

    def is_special(self, token_id: int) -> bool:
        """Whether a token is one of the tokenizer's special ones."""
        return token_id in self._special_ids

    def tokenize(
        self, texts: Sequence[str], limit: int, *, spans: bool = False, from_end: bool = False
    ) -> list[Tokens]:
        """The tokens of each text.

        A text so long that it must have far more than ``limit`` tokens is read only as far as it takes to know that
        and to know its first ``limit`` tokens: megabytes of text cost no more than a page.

        Args:
            limit: how many tokens of each are of interest.
            spans: also where the tokens stand.
            from_end: the last ones are of interest, not the first.

        Raises:
            InvalidRequest: a pattern of the tokenizer gives up on a text.
        """
        part_of = _tail if from_end else _head
        encode = self._tokenizer.encode_batch if spans else self._tokenizer.encode_batch_fast
        length = max(_HEAD_CHARACTERS, _CHARACTERS_PER_TOKEN * limit)
        encodings: list[Any] = [None] * len(texts)
        open_ends = set[int]()
        pending = list(range(len(texts)))
        while pending:
            parts = [part_of(texts[i], length) for i in pending]
            again = []
            with matching("text"):
                found = encode(parts, add_special_tokens=False)
            for i, part, encoding in zip(pending, parts, found, strict=True):
                encodings[i] = encoding, len(part)
                if len(part) == len(texts[i]):
                    open_ends.discard(i)
                else:
                    open_ends.add(i)
                    if len(encoding) <= 2 * limit:
                        again.append(i)
            pending, length = again, length * _GROWTH
        return [
            self._tokens(text, encoding, spans, first=len(text) - read if from_end else 0, complete=i not in open_ends)
            for i, (text, (encoding, read)) in enumerate(zip(texts, encodings, strict=True))
        ]

    def _tokens(self, text: str, encoding: Any, spans: bool, *, first: int, complete: bool) -> Tokens:
        """``first``: the character of the text that the encoding counts as its own first."""
        ids = np.array(encoding.ids, np.int64)
        n = len(ids)
        if not spans or not n:
            return Tokens(text, ids, np.zeros((n, 2), np.int64), np.ones(n, np.bool_), complete)
        places = _places(text, [(start + first, end + first) for start, end in encoding.offsets])
        if self._continuation:
            starts = [not token.startswith(self._continuation) for token in encoding.tokens]
        else:  # as transformers does where the vocabulary does not mark words
            starts = [start == 0 or " " in text[start - 1 : start + 1] for start, _ in places]
        starts_word = np.array(starts, np.bool_)
        if self._unknown_id is not None:
            starts_word |= ids == self._unknown_id
        return Tokens(text, ids, np.array(places, np.int64), starts_word, complete)


def _head(text: str, length: int) -> str:
    """About ``length`` characters, cut at white space if there is some near."""
    if len(text) <= length:
        return text
    for end in range(length, length - _BREAK_WITHIN, -1):
        if text[end].isspace():
            return text[:end]
    return text[:length]


def _tail(text: str, length: int) -> str:
    """The same of the end; it begins with the white space that it is cut at."""
    if len(text) <= length:
        return text
    for begin in range(len(text) - length, len(text) - length + _BREAK_WITHIN):
        if text[begin].isspace():
            return text[begin:]
    return text[-length:]


def _places(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of tokens without white space around, and with accents that normalisation took out of the text."""
    places = [_trimmed(text, start, end) for start, end in offsets]
    if text.isascii():
        return places
    following = [*(start for start, _ in places[1:]), len(text)]
    return [
        (start, _past_marks(text, end) if start < end < next_start else end)
        for (start, end), next_start in zip(places, following, strict=True)
    ]


def _past_marks(text: str, end: int) -> int:
    """Past the combining characters that belong to the one before ``end``."""
    while end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space that byte-level tokens carry before their words."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
