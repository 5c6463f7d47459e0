"""Tokens as people see them: the text of each, and where it stands in what was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer

from attendant.bundle import Patches
from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.frontend.explain.calls import ExplainedToken
from attendant.models.text import TextCodec
from attendant.tasks.text import Ints, TextTokenizer

Decode = Callable[[Sequence[int]], str]


def decoder_of(tokenizer: Tokenizer) -> Decode:
    """Decodes token ids, special ones included."""
    return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False))


def token_texts(decode: Decode, ids: Sequence[int]) -> tuple[str, ...]:
    """What each token adds to the text of the one before it; a token alone where that does not say."""
    texts: list[str] = []
    before: tuple[int, ...] = ()
    for token in ids:
        first, both = decode(before) if before else "", decode((*before, token))
        texts.append(both[len(first) :] if both.startswith(first) else decode((token,)))
        before = (token,)
    return tuple(texts)


def explained(decode: Decode, ids: Sequence[int], spans: Ints, given: Sequence[bool]) -> tuple[ExplainedToken, ...]:
    """Tokens with their texts. ``spans``: [n, 2], where each stands; ``given``: whether it is of what was given."""
    texts = token_texts(decode, ids)
    places = spans.tolist()
    return tuple(
        ExplainedToken(int(token), text, start, end, special=not inside)
        for token, text, (start, end), inside in zip(ids, texts, places, given, strict=True)
    )


def answer_tokens(codec: TextCodec, text: str, limit: int) -> tuple[int, ...]:
    """The tokens of an answer that is given as a text; with far more than ``limit``, not all of it is read.

    Raises:
        InvalidRequest: it has far more.
    """
    try:
        return codec.tokenize(TextPrompt(text, add_special_tokens=False), limit).token_ids
    except InvalidRequest as error:
        raise InvalidRequest("answer", error.reason) from None


def prompt_tokens(
    codec: TextCodec, prompt: TextPrompt | ChatPrompt, ids: Sequence[int], limit: int
) -> tuple[ExplainedToken, ...]:
    """The tokens of a prompt, ``ids``, which may have special ones around those of the text.

    Args:
        limit: tokens that are of interest at most.
    """
    rendered = codec.rendered(prompt)
    tokens = TextTokenizer(codec.tokenizer).tokenize([rendered], limit, spans=True)[0]
    start = _found(tokens.ids, np.asarray(ids, np.int64))
    spans, given = np.zeros((len(ids), 2), np.int64), np.zeros(len(ids), np.bool_)
    if start is not None:
        inside = slice(start, start + len(tokens))
        shift, end = _place(rendered, prompt)
        placed = (tokens.spans[:, 0] >= shift) & (tokens.spans[:, 1] <= end)
        spans[inside] = np.where(placed[:, None], tokens.spans - shift, 0)
        given[inside] = placed
    return explained(_whole(codec), ids, spans, given.tolist())


def given_tokens(codec: TextCodec, ids: Sequence[int]) -> tuple[ExplainedToken, ...]:
    """Tokens that came as ids: they have no place in a text."""
    spans = np.zeros((len(ids), 2), np.int64)
    return explained(_whole(codec), ids, spans, [token not in codec.special_tokens for token in ids])


def answer_texts(codec: TextCodec, ids: Sequence[int]) -> tuple[str, ...]:
    """The text of each token of an answer."""
    return token_texts(_whole(codec), ids)


def patch_tokens(patches: Patches) -> tuple[ExplainedToken, ...]:
    """Of an image: the special ones, then the patches row by row."""
    special = [ExplainedToken(None, "", special=True)] * patches.num_prefix
    cells = [
        ExplainedToken(None, f"{row},{column}") for row in range(patches.rows) for column in range(patches.columns)
    ]
    return (*special, *cells)


def frame_tokens(count: int, frame_s: float, duration_s: float) -> tuple[ExplainedToken, ...]:
    """Of a recording: frames, those behind its end being no part of it."""
    begins = [index * frame_s for index in range(count)]
    return tuple([ExplainedToken(None, f"{begin:.2f} s", special=begin > duration_s) for begin in begins])


def numbered_tokens(count: int) -> tuple[ExplainedToken, ...]:
    """Pieces of which nothing is known but their number."""
    return tuple([ExplainedToken(None, str(number)) for number in range(count)])


def _whole(codec: TextCodec) -> Decode:
    return lambda ids: codec.decode(ids, skip_special_tokens=False, whole=False)


def _place(rendered: str, prompt: TextPrompt | ChatPrompt) -> tuple[int, int]:
    """Where the text that was given stands in what was rendered: of a conversation its last message, if it is there."""
    if isinstance(prompt, TextPrompt):
        return 0, len(rendered)
    content = prompt.messages[-1].text
    start = rendered.rfind(content) if content else -1
    return (start, start + len(content)) if start >= 0 else (len(rendered) + 1, len(rendered) + 1)


def _found(part: Ints, ids: Ints) -> int | None:
    """Where ``part`` stands in ``ids``; None if it does not."""
    for start in range(len(ids) - len(part) + 1):
        if np.array_equal(ids[start : start + len(part)], part):
            return start
    return None
