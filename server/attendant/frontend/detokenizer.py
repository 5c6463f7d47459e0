"""Turns a stream of token ids into text, holding back characters whose bytes are not all there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

CONTEXT_TOKENS = 5
"""Tokens before the new ones that are decoded with them: decoders treat the first token of a text apart."""

MAX_HELD_TOKENS = 8
"""A character has at most four bytes; more held tokens than this are no character in the making but broken bytes."""

MAX_SILENT_TOKENS = 64
"""Special tokens have no text; after so many the window moves on all the same."""

_REPLACEMENT = "\ufffd"


class Decoder(Protocol):
    """Token ids to text; see :meth:`attendant.models.text.TextCodec.decode`."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str: ...


class Detokenizer:
    """Text of one sequence, token by token. The pieces joined are the text of all tokens, as it follows the prompt."""

    def __init__(self, decoder: Decoder, prompt: Sequence[int]) -> None:
        self._decoder = decoder
        context = list(prompt[-CONTEXT_TOKENS:])
        if decoder.decode(context).endswith(_REPLACEMENT):
            context = []  # the prompt ends inside a character: what follows is text of its own
        self._window = context
        self._told = decoder.decode(context)  # text of the window that is not to be told again
        self._num_held = 0

    def push(self, token_id: int) -> str:
        """Text that became certain with this token; empty while a character is incomplete."""
        self._window.append(token_id)
        self._num_held += 1
        text = self._untold()
        incomplete = text.endswith(_REPLACEMENT) and self._num_held <= MAX_HELD_TOKENS
        if incomplete or not (text or self._num_held > MAX_SILENT_TOKENS):
            return ""
        self._advance()
        return text

    def flush(self) -> str:
        """What is still held, broken characters as U+FFFD."""
        text = self._untold()
        self._advance()
        return text

    def _untold(self) -> str:
        return self._decoder.decode(self._window)[len(self._told) :]

    def _advance(self) -> None:
        self._window = self._window[-CONTEXT_TOKENS:]
        self._told = self._decoder.decode(self._window)
        self._num_held = 0
