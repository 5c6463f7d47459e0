"""How alike a model takes words to be where they stand: the tokens of a word, and cosines of what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.core.errors import InvalidRequest
from attendant.frontend.explain.calls import ExplainedToken, SimilarityCall, WordInContext
from attendant.frontend.explain.parts import touched
from attendant.sidework.arithmetic import cosines
from attendant.tasks.spans import Span

MAX_CONTEXTS = 64


def check_contexts(call: SimilarityCall) -> None:
    """Raises InvalidRequest for too few contexts or too many."""
    if not 2 <= len(call.contexts) <= MAX_CONTEXTS:
        raise InvalidRequest("contexts", f"has {len(call.contexts)}; allowed: 2 to {MAX_CONTEXTS}")


def word_span(context: WordInContext, field: str) -> Span:
    """Where the word stands.

    Raises:
        InvalidRequest: it does not.
    """
    if not context.word:
        if context.occurrence:
            raise InvalidRequest(f"{field}.occurrence", f"is {context.occurrence} without a word; allowed: 0")
        return Span(0, len(context.text))
    start, count = -1, 0
    while (start := context.text.find(context.word, start + 1)) >= 0:
        if count == context.occurrence:
            return Span(start, start + len(context.word))
        count += 1
    if not count:
        raise InvalidRequest(f"{field}.word", f"is {context.word[:100]!r}; allowed: a part of the text")
    raise InvalidRequest(f"{field}.occurrence", f"is {context.occurrence}; allowed: 0 to {count - 1}")


def word_tokens(tokens: Sequence[ExplainedToken], span: Span, field: str) -> tuple[int, ...]:
    """Numbers of the tokens that a word is.

    Raises:
        InvalidRequest: there are none, as of white space.
    """
    numbers = touched(tokens, span)
    if not numbers:
        raise InvalidRequest(f"{field}.word", "has no tokens; allowed: a part of the text with at least one")
    return numbers


def compared(hidden: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Cosines of the means of the tokens of each word, each [tokens, hidden] float32: [words, words]."""
    return cosines(np.stack([tokens.astype(np.float64).mean(axis=0) for tokens in hidden]))
