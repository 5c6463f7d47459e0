"""Cuts a text into windows of tokens that a model can take and whose logits fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attendant_export.prompts import Encode, Ints

_SHORTEST, _LONGEST = 128, 512  # tokens of a window, where the context has them
_LOGITS = 16 << 20  # of one window: 64 MB in float32
_MOST_TOKENS = 2048  # byte-level models make four tokens of what is one for others


def text_windows(
    text: str,
    encode: Encode,
    *,
    vocab_size: int,
    context_length: int,
    leading: Sequence[int] = (),
    most: int = _MOST_TOKENS,
) -> list[Ints]:
    """Windows of one length, [length] int64 each, that cover ``text`` up to ``most`` tokens; none shares text.

    Args:
        leading: tokens that the model's texts begin with, put before each window.

    Returns:
        None of them where the text makes fewer than two tokens that the model knows.
    """
    ids = [token for token in encode(text) if token < vocab_size][:most]
    fitting = min(context_length, max(_SHORTEST, min(_LONGEST, _LOGITS // vocab_size))) - len(leading)
    if len(ids) < 2 or fitting < 2:
        return []
    count = -(-len(ids) // fitting)
    length = len(ids) // count
    return [np.array([*leading, *ids[start : start + length]], np.int64) for start in range(0, count * length, length)]


def leading_tokens(tokenizer: object) -> tuple[int, ...]:
    """What a ``tokenizers.Tokenizer`` puts before every text: a start token, or nothing."""
    encode = tokenizer.encode  # type: ignore[attr-defined]
    plain, whole = (encode("a", add_special_tokens=added).ids for added in (False, True))
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start])
    return ()
