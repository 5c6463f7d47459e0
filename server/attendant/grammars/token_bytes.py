"""Which bytes each token of a tokenizer stands for in the midst of a text, whatever kind of tokenizer it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_REPLACEMENT = "\ufffd"


def token_bytes(tokenizer: Tokenizer, vocab_size: int) -> tuple[bytes, ...]:
    """The bytes of the tokens 0 to ``vocab_size`` - 1. Those that stand for no text, or that the tokenizer does not
    know, have none; of added tokens it is their name."""
    decoders = {part["type"] for part in _parts(json.loads(tokenizer.to_str()).get("decoder"))}
    added = tokenizer.get_added_tokens_decoder()
    plain = [None if index in added else tokenizer.id_to_token(index) for index in range(vocab_size)]
    if "ByteLevel" in decoders:
        found = _of_byte_level(plain)
    else:
        found = _of_texts(tokenizer, plain, has_bytes="ByteFallback" in decoders)
    for index, token in added.items():
        if index < vocab_size:
            found[index] = token.content.encode()
    return tuple(found)


def named_tokens(tokenizer: Tokenizer, vocab_size: int) -> tuple[int, ...]:
    """The tokens that a grammar calls by name and that no text is spelt with: added ones, but for runs of spaces."""
    added = tokenizer.get_added_tokens_decoder()
    return tuple(sorted(index for index, token in added.items() if index < vocab_size and _is_name(token)))


def _is_name(token: Any) -> bool:
    return bool(token.special or token.content.strip())


def _parts(decoder: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A decoder, or all that it is made of."""
    if decoder is not None:
        yield decoder
        for part in decoder.get("decoders", ()):
            yield from _parts(part)


def _of_byte_level(tokens: Sequence[str | None]) -> list[bytes]:
    """Each character stands for a byte. One with a character that stands for none is its own text."""
    byte_of = byte_level_alphabet()
    found = []
    for token in tokens:
        try:
            found.append(bytes([byte_of[character] for character in token or ""]))
        except KeyError:
            found.append((token or "").encode())
    return found


def byte_level_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for: printable ones of Latin-1 for themselves, and
    the others, in order, characters from 256 on (Radford et al. 2019)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _of_texts(tokenizer: Tokenizer, tokens: Sequence[str | None], *, has_bytes: bool) -> list[bytes]:
    """What each token adds to a text that has begun."""
    anchor = next((i for i, token in enumerate(tokens) if token and _decoded(tokenizer, i).strip().isalnum()), None)
    before = "" if anchor is None else _decoded(tokenizer, anchor)
    found = []
    for index, token in enumerate(tokens):
        byte = _BYTE.fullmatch(token) if token is not None and has_bytes else None
        if byte is not None:
            found.append(bytes([int(byte[1], 16)]))
            continue
        text = "" if token is None or anchor is None else _decoded(tokenizer, anchor, index)
        told = text.startswith(before) and not text.endswith(_REPLACEMENT)
        found.append(text[len(before) :].encode() if told else b"")
    return found


def _decoded(tokenizer: Tokenizer, *ids: int) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False)
    return text
