"""The bytes that each token of a model adds to a text, also where they are only a part of a character."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BEFORE = "a"
"""A token that decoders leave as it is. Others are decoded after it, as the first of a text is decoded apart."""


class TokenBytes:
    """What tokens add to a text, by their decoder.

    Byte-level decoders write each byte as a character of its own, others spell bytes that are no character as
    ``<0xNN>``. What any other decoder makes of a token is text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        decoder = tokenizer.decoder
        steps = set(_steps(json.loads(decoder.__getstate__()))) if decoder is not None else set()
        self._bytes = _byte_alphabet() if "ByteLevel" in steps else {}
        self._falls_back = "ByteFallback" in steps

    def of(self, token_id: int) -> bytes:
        """The bytes of a token in the middle of a text; none of an id that the tokenizer has not."""
        token = self._tokenizer.id_to_token(token_id)
        if token is None:
            return b""
        if self._bytes:
            known = [self._bytes.get(character) for character in token]
            return token.encode() if None in known else bytes([byte for byte in known if byte is not None])
        if self._falls_back and (spelled := _FALLBACK.fullmatch(token)):
            return bytes([int(spelled[1], 16)])
        if self._tokenizer.decoder is None:
            return f" {token}".encode()  # without a decoder, tokens are joined by spaces
        text: str = self._tokenizer.decoder.decode([_BEFORE, token])
        return text.removeprefix(_BEFORE).encode()


def token_bytes(tokenizer: Tokenizer, vocab_size: int) -> tuple[bytes, ...]:
    """The bytes of the tokens 0 to ``vocab_size`` - 1. Those that stand for no text, or that the tokenizer does not
    know, have none; of added tokens it is their name."""
    added = tokenizer.get_added_tokens_decoder()
    bytes_of = TokenBytes(tokenizer).of
    return tuple([added[index].content.encode() if index in added else bytes_of(index) for index in range(vocab_size)])


def named_tokens(tokenizer: Tokenizer, vocab_size: int) -> tuple[int, ...]:
    """The tokens that a grammar calls by name and that no text is spelt with: added ones, but for runs of spaces."""
    added = tokenizer.get_added_tokens_decoder()
    return tuple(sorted(index for index, token in added.items() if index < vocab_size and _is_name(token)))


def _is_name(token: Any) -> bool:
    return bool(token.special or token.content.strip())


def _steps(decoder: dict[str, Any]) -> Iterator[str]:
    """The kinds of a decoder and of those that it is made of."""
    yield decoder["type"]
    for step in decoder.get("decoders", ()):
        yield from _steps(step)


def _byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level token stands for: printable ones of Latin-1 for themselves, the
    others for the characters from 256 on, in order (Radford et al. 2019, in their published code)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
