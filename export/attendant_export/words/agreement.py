"""Texts that tell tokenizers apart: a bundle's tokenizer has to make of them what transformers' makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from attendant_export.errors import TokenizerError

TEXTS = (
    "Hello, where is my order? It's on its way; they've said \u201cMonday\u201d.",
    "Where is the Caf\u00e9? HELLO hello HeLLo STRASSE stra\u00dfe",
    "na\u00efve cafe\u0301 \u0130stanbul \ufb01ne \u2168 \u00bd x\u00b2 \u212b \uff21\uff22\uff23",
    "\u6771\u4eac\u90fd\u306b\u884c\u304f\u3002\u4f60\u597d\uff0c\u4e16\u754c\uff01 \uc548\ub155\ud558\uc138\uc694",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f44d\U0001f3fd \U0001f1eb\U0001f1f7 \u2764\ufe0f 1\ufe0f\u20e3",
    "def add(a, b):\n    return a + b  # sum\n\tif (x != y) { z->w[0]++; }\r\n\n\n",
    "  two   runs    of     spaces      ",
    "\t\ttabs\n\n\nlines\r\n \n mixed \t end\n",
    "1234567890 3.14159 1,000,000 2024-01-31 0xFF 50% $9.99",
    "a\u00a0b\u2009c\u3000d\u200be\ufefff\u00adg\u2028h",
    "nul\x00 bell\x07 escape\x1b delete\x7f next\u0085 \ufffd",
    "https://example.com/a?b=c&d=%20#e user@example.com C:\\dir\\file",
    "supercalifragilisticexpialidocious" * 4,
    "!!!???...,,,---___***((([[[{{{}}}]]])))",
    "\u2581under\u2581bars \u0120and \u010a <0x0A> ## ##ing </w> @@",
    "a",
    " ",
    "\n",
    "",
)
"""What tokenizers differ over: case, accents, compatibility forms, scripts without spaces, joined emoji, code, runs of
white space, digits, invisible and control characters, and the marks that tokenizers themselves use."""

_TOKENS_A_TEXT = 8


def check_agreement(tokenizer: Any, served: Tokenizer, folder: Path, *, decodes: bool) -> None:
    """Encodes and decodes texts and special tokens with both.

    Args:
        tokenizer: of transformers. served: the bundle's.
        decodes: whether decoded texts have to agree, too.

    Raises:
        TokenizerError: they do not; names the text.
    """
    text = next(disagreements(tokenizer, served, decodes=decodes), None)
    if text is not None:
        raise TokenizerError(
            f"{folder}: tokenizer.json cannot hold what transformers' {type(tokenizer).__name__} does: they do not "
            f"agree over the text {text!r}"
        )


def disagreements(tokenizer: Any, served: Tokenizer, *, decodes: bool) -> Iterator[str]:
    """The texts of which both make other tokens, or which they decode differently."""
    plain = partial(tokenizer.decode, clean_up_tokenization_spaces=False)
    for text in TEXTS:
        if not _agree(tokenizer, served, text, plain if decodes else None):
            yield text
    if not tokenizer.is_fast:  # some of these read special tokens at the begin of a text only
        return
    # Whisper's tokenizer drops timestamps from what it decodes, and what follows some special tokens.
    decode = tokenizer.backend_tokenizer.decode if decodes else None
    for text, alone in _special_texts(tokenizer):
        if not _agree(tokenizer, served, text, decode):
            yield next((each for each in alone if not _agree(tokenizer, served, each, decode)), text)


def _special_texts(tokenizer: Any) -> Iterator[tuple[str, list[str]]]:
    """Texts with some of the added tokens each, together all of them, and the tokens apart."""
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values()]
    for start in range(0, len(tokens), _TOKENS_A_TEXT):
        some = tokens[start : start + _TOKENS_A_TEXT]
        yield "".join(f"{token} a{token}b  {token}" for token in some), [f"a{token}b {token}" for token in some]


def _agree(tokenizer: Any, served: Tokenizer, text: str, decode: Callable[..., str] | None) -> bool:
    """Whether both make the same tokens of ``text``; where ``decode`` is given, it and the bundle's tokenizer have to
    make the same text of these."""
    wanted: list[int] | None = None
    ways = (True, False) if tokenizer.is_fast else (False,)  # others add what a bundle's languages add
    for special in ways:
        wanted = _by_transformers(tokenizer, text, special)
        if wanted != _by_tokenizers(served, text, special):
            return False
    return (
        wanted is None
        or decode is None
        or all(
            decode(wanted, skip_special_tokens=skip) == served.decode(wanted, skip_special_tokens=skip)
            for skip in (True, False)
        )
    )


def _by_transformers(tokenizer: Any, text: str, special: bool) -> list[int] | None:
    """Token ids; None for a text that is refused. Some take no text alone, as LayoutLM's, which want boxes beside it:
    what they are made of does."""
    try:
        return list(tokenizer(text, add_special_tokens=special)["input_ids"])
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - tokenizers raises bare Exceptions, and panics
        return _by_tokenizers(tokenizer.backend_tokenizer, text, special) if tokenizer.is_fast else None


def _by_tokenizers(tokenizer: Tokenizer, text: str, special: bool) -> list[int] | None:
    """Token ids; None for a text that is refused, as by those without an unknown token."""
    try:
        return list(tokenizer.encode(text, add_special_tokens=special).ids)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - as above
        return None
