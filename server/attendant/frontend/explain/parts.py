"""Parts of a text, and the text without each: what is left out, and what stands in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from attendant.core.errors import InvalidRequest
from attendant.frontend.explain.calls import AttributeCall, ExplainedToken
from attendant.tasks.spans import Span

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the subject. ``tokens``: numbers of the tokens that it is, or touches; ``by_token``: it is one token,
    which is left out as such."""

    text: str
    span: Span
    tokens: tuple[int, ...]
    by_token: bool = False


def parts_of(call: AttributeCall, text: str, tokens: Sequence[ExplainedToken], max_parts: int) -> tuple[Part, ...]:
    """The parts that a call asks about.

    Args:
        text: that spans are of; empty for token ids.
        tokens: of the subject, special ones included.

    Raises:
        InvalidRequest: a span that the text has not, no part at all, or more than may be.
    """
    if call.spans:
        found = [_of_span(text, span, tokens, f"spans[{place}]") for place, span in enumerate(call.spans)]
    else:
        words = [Span(*match.span()) for match in _WORD.finditer(text)] if call.unit == "word" else []
        if len(words) > 1:
            found = [_of_span(text, span, tokens, "text") for span in words]
        else:
            found = [
                Part(token.text, Span(token.start, token.end), (number,), by_token=True)
                for number, token in enumerate(tokens)
                if not token.special
            ]
    if not found:
        raise InvalidRequest("subject", "has no part that could be left out; allowed: a text of at least one token")
    if len(found) > max_parts:
        raise InvalidRequest(
            "spans" if call.spans else "subject",
            f"makes {len(found)} parts; allowed: at most {max_parts} (explain.max_parts); name fewer as spans",
        )
    return tuple(found)


def text_without(text: str, span: Span, mask: str | None) -> str:
    """A text with ``mask`` in a part's place; None: without the part, and without one of two spaces around it."""
    before, after = text[: span.start], text[span.end :]
    if mask is not None:
        return before + mask + after
    if (not before or before[-1].isspace()) and after and after[0].isspace():
        after = after[1:]
    return before + after


def ids_without(ids: Sequence[int], number: int, mask: int | None) -> tuple[int, ...]:
    """Token ids with ``mask`` in the place of one of them; None: without it."""
    return (*ids[:number], *(() if mask is None else (mask,)), *ids[number + 1 :])


def _of_span(text: str, span: Span, tokens: Sequence[ExplainedToken], field: str) -> Part:
    if not 0 <= span.start < span.end <= len(text):
        allowed = f"0 to {len(text)}, the first before the second" if text else "none, as the subject has no text"
        raise InvalidRequest(field, f"is {span.start} to {span.end}; allowed: {allowed}")
    return Part(text[span.start : span.end], span, touched(tokens, span))


def touched(tokens: Sequence[ExplainedToken], span: Span) -> tuple[int, ...]:
    """Numbers of the tokens that have a character of a span."""
    return tuple(
        number
        for number, token in enumerate(tokens)
        if not token.special and token.start < span.end and span.start < token.end
    )
