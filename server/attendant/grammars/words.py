"""A model's words as grammars see them: the bytes of each token, names of special ones, and how a text is spelt."""

from __future__ import annotations

from functools import cached_property, lru_cache

from llguidance import LLTokenizer, TokenizerWrapper
from tokenizers import Tokenizer

from attendant.grammars.token_bytes import named_tokens, token_bytes


class GrammarWords:
    """The words of one model. Safe from any thread once made.

    Besides the model's tokens there is one more, ``end``, of the id behind the last: what a grammar allows where a text
    may end. Which tokens of the model end an answer is a call's matter.

    Args:
        tokenizer: ``tokenizer.json`` as text.
        vocab_size: of the model, which may be larger or smaller than the tokenizer's.
    """

    def __init__(self, tokenizer: str, vocab_size: int) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size
        self.end = vocab_size
        spelling = _Spelling(tokenizer, vocab_size, self.end)
        self.tokens = spelling.tokens
        self.ll = LLTokenizer(TokenizerWrapper(spelling))

    def __reduce__(self) -> tuple[object, ...]:
        return words_again, (self.tokenizer, self.vocab_size)


@lru_cache(maxsize=4)
def words_again(tokenizer: str, vocab_size: int) -> GrammarWords:
    """Words that have crossed to another process, made there once."""
    return GrammarWords(tokenizer, vocab_size)


class _Spelling:
    """What llguidance asks of a tokenizer.

    Attributes:
        tokens: [vocab_size + 1] bytes of each, the last of ``end``.
        special_token_ids: that no text is spelt with.
    """

    bos_token_id = None

    def __init__(self, tokenizer: str, vocab_size: int, end: int) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        names = named_tokens(self._tokenizer, vocab_size)
        found = token_bytes(self._tokenizer, vocab_size)
        # no text has the byte 255, which marks names in llguidance's own books
        self.tokens = (*(b"" if b"\xff" in token else token for token in found), b"<end of text>")
        self.special_token_ids = [*names, end]
        self.eos_token_id = end
        self._unspelt = frozenset(self.special_token_ids)

    def __call__(self, text: str | bytes) -> list[int]:
        """The tokens of a text, as the tokenizer spells it in the midst of another; their bytes are the text's."""
        wanted = text.encode() if isinstance(text, str) else text
        ids = self._spelt(wanted.decode(errors="replace"), wanted)
        return self._greedy(wanted) if ids is None else ids

    def _spelt(self, text: str, wanted: bytes) -> list[int] | None:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        if self._bytes(ids) == wanted:
            return ids
        # some put a space before a text: behind a token that ends it, they do not
        before, begin = self._anchor
        ids = self._tokenizer.encode(before + text, add_special_tokens=False).ids
        rest = ids[len(begin) :]
        return rest if ids[: len(begin)] == begin and self._bytes(rest) == wanted else None

    @cached_property
    def _anchor(self) -> tuple[str, list[int]]:
        before = "\n"
        return before, self._tokenizer.encode(before, add_special_tokens=False).ids

    def _bytes(self, ids: list[int]) -> bytes | None:
        if any(index in self._unspelt or index >= len(self.tokens) for index in ids):
            return None
        return b"".join([self.tokens[index] for index in ids])

    def _greedy(self, wanted: bytes) -> list[int]:
        """The longest token at each place; none for a byte that no token begins with."""
        ids, place = [], 0
        while place < len(wanted):
            for length in range(min(self._longest, len(wanted) - place), 0, -1):
                index = self._ids.get(wanted[place : place + length])
                if index is not None:
                    ids.append(index)
                    break
            else:
                return ids
            place += length
        return ids

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        plain = [(token, index) for index, token in enumerate(self.tokens) if token and index not in self._unspelt]
        return dict(reversed(plain))

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._ids), default=0)
