"""Turns a stream of token ids into text, holding back characters whose bytes are not all there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attendant.models.spaces import SpaceCleaner

CONTEXT_TOKENS = 5
"""Tokens before the new ones that are decoded with them: decoders treat the first token of a text apart."""

MAX_HELD_TOKENS = 8
"""A character has at most four bytes; more held tokens than this are no character in the making but broken bytes."""

MAX_BEGUN = 3
"""Bytes of a character that is not complete, and so the most tokens that it has."""

MAX_SILENT_TOKENS = 64
"""Special tokens have no text; after so many the window moves on all the same."""

_REPLACEMENT = "\ufffd"


class Decoder(Protocol):
    """Token ids to text; see :class:`attendant.models.text.TextCodec`."""

    @property
    def cleans_up(self) -> bool: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True, whole: bool = True) -> str: ...

    def decode_one(self, token_id: int) -> str: ...


class Detokenizer:
    """Text of one sequence, token by token. The pieces joined are the text of all tokens, as it follows the prompt.

    Args:
        keep_special_tokens: the text has special tokens, too.
    """

    def __init__(self, decoder: Decoder, prompt: Sequence[int], *, keep_special_tokens: bool = False) -> None:
        self._decoder = decoder
        self._keeps_special = keep_special_tokens
        self._window = self._whole_context(prompt)
        self._told = self._decode(self._window)  # text of the window that is not to be told again
        self._anchor = self._window if self._told else []  # the last tokens with text and without broken characters
        self._num_held = 0
        self._cleaner = SpaceCleaner() if decoder.cleans_up else None

    def push(self, token_id: int) -> str:
        """Text that became certain with this token; empty while a character is incomplete."""
        text = self._take(token_id)
        return text if self._cleaner is None else self._cleaner.push(text)

    def _take(self, token_id: int) -> str:
        self._window.append(token_id)
        self._num_held += 1
        text = self._untold()
        incomplete = text.endswith(_REPLACEMENT)
        if incomplete and self._num_held > MAX_HELD_TOKENS:
            return self._broken(text)
        if incomplete or not (text or self._num_held > MAX_SILENT_TOKENS):
            return ""
        self._advance(text)
        return text

    def _broken(self, text: str) -> str:
        """Of ``text``, which ends with broken bytes, all but the last ones, which may begin a character."""
        window, num_held = self._window, self._num_held
        for kept in range(MAX_BEGUN, 0, -1):
            tail = window[-kept:]
            held = self._decode(tail)
            self._window, self._num_held = window[:-kept], num_held - kept
            told = self._untold()
            if not held.strip(_REPLACEMENT) and told and told + held == text:
                self._advance(told)
                self._window, self._num_held = [*self._window, *tail], kept
                return told
        self._window, self._num_held = window, num_held
        self._advance(text)
        return text

    def flush(self) -> str:
        """What is still held, broken characters as U+FFFD."""
        text = self._untold()
        self._advance(text)
        return text if self._cleaner is None else self._cleaner.push(text) + self._cleaner.flush()

    def _untold(self) -> str:
        text = self._decode(self._window)
        if text.startswith(self._told):
            return text[len(self._told) :]
        # Beside broken bytes, the bytes of a character that was told are broken, too, to some decoders.
        return self._decode(self._held)

    @property
    def _held(self) -> list[int]:
        return self._window[len(self._window) - self._num_held :]

    def _advance(self, text: str) -> None:
        """What was told last is the context of what comes: whole characters, since the first token of a text is
        decoded apart, and broken ones join what follows."""
        if _REPLACEMENT in text:
            self._window = self._whole_end() or list(self._anchor) or self._held[-1:]
        elif text:
            self._window = self._held
            self._anchor = list(self._window)
        else:
            self._window = self._window[-MAX_SILENT_TOKENS:]
        only = self._window[0] if len(self._window) == 1 and not self._keeps_special else None
        self._told = self._decode(self._window) if only is None else self._decoder.decode_one(only)
        self._num_held = 0

    def _whole_end(self) -> list[int]:
        """The most of the held tokens, from the last one back, that are text without broken characters."""
        held = self._held
        for start in range(len(held)):
            text = self._decode(held[start:])
            if text and _REPLACEMENT not in text:
                return held[start:]
        return []

    def _whole_context(self, prompt: Sequence[int]) -> list[int]:
        """The last tokens of the prompt, from a character's beginning on; none if it ends inside a character."""
        for length in range(min(CONTEXT_TOKENS, len(prompt)), 0, -1):
            context = list(prompt[-length:])
            if _REPLACEMENT not in self._decode(context):
                return context
        return []

    def _decode(self, token_ids: Sequence[int]) -> str:
        return self._decoder.decode(token_ids, skip_special_tokens=not self._keeps_special, whole=False)
