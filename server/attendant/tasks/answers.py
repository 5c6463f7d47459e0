"""Start and end scores of windows over a context to answers in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from attendant.core.errors import InvalidRequest
from attendant.tasks.frames import TokenRow
from attendant.tasks.spans import Span
from attendant.tasks.text import Tokens
from attendant.tasks.token_rows import RowMaker
from attendant.tasks.vectors import Floats, softmax

DEFAULT_STRIDE = 128
DEFAULT_ANSWER_TOKENS = 15
MAX_ANSWERS = 100
MAX_ANSWER_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of the context. An empty one says that the answer is not there."""

    text: str
    score: float
    span: Span


def answer_windows(
    maker: RowMaker,
    question: Tokens,
    context: Tokens,
    *,
    stride: int | None,
    truncate: bool,
    question_field: str,
    context_field: str,
) -> list[TokenRow]:
    """Rows of the question and, in windows, the context.

    Args:
        stride: tokens that windows share; None for 128, or half a window where it is smaller.
        truncate: cut a question that leaves too little room for the context.

    Raises:
        InvalidRequest: a question or a context that is too long, or a stride that is as wide as a window.
    """
    room = maker.max_tokens - maker.pair_frame.size
    limit = max(1, room // 2)
    truncated = len(question) > limit
    if truncated and not truncate:
        length = f"{len(question)} tokens" if question.complete else f"more than {len(question)} tokens"
        raise InvalidRequest(
            question_field,
            f"has {length}; allowed: at most {limit}, which leaves half of the model's {maker.max_tokens} for the "
            "context, or any number with truncate",
        )
    if truncated:
        question = question.cut(limit)
    window = room - len(question)
    shared = min(DEFAULT_STRIDE, window // 2) if stride is None else stride
    rows = maker.pair_windows(question, context, shared, context_field)
    if not truncated:
        return rows
    return [TokenRow(row.ids, row.type_ids, row.first, row.second, truncated=True) for row in rows]


def best_answers(
    rows: Sequence[TokenRow],
    logits: Sequence[Floats],
    context: Tokens,
    *,
    num_special_before: int,
    top_k: int = 1,
    max_answer_tokens: int = DEFAULT_ANSWER_TOKENS,
    allow_no_answer: bool = False,
) -> tuple[Answer, ...]:
    """The best pieces of the context, highest score first; one that several windows find counts once.

    A score is the probability of the start times that of the end, each among the context's tokens of its window and
    the leading special token, which stands for "no answer" where a model learned that. The score of "no answer" itself
    is its lowest over the windows: one window that has the answer is enough.

    Args:
        rows, logits: the windows, and [n, 2] float32 of each: starts and ends.
        context: with spans.
        num_special_before: special tokens that a row begins with.
        max_answer_tokens: the longest answer.
    """
    found: dict[Span, float] = {}
    no_answer = 1.0
    for row, values in zip(rows, logits, strict=True):
        starts, ends, null = _probabilities(row, values, num_special_before)
        no_answer = min(no_answer, null)
        for span, score in _window_answers(context.spans[row.second.in_text], starts, ends, top_k, max_answer_tokens):
            found[span] = max(score, found.get(span, 0.0))
    if allow_no_answer and num_special_before:
        found[Span()] = no_answer
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0].start, item[0].end))[:top_k]
    return tuple(Answer(context.text[span.start : span.end], score, span) for span, score in ranked)


def _probabilities(row: TokenRow, logits: Floats, num_special_before: int) -> tuple[Floats, Floats, float]:
    """Of starts and of ends [num_context_tokens], and of no answer."""
    leading = 1 if num_special_before else 0
    kept = np.concatenate([logits[:leading], logits[row.second.in_row]])  # [leading + num_context_tokens, 2]
    if not len(kept):
        return kept[:, 0], kept[:, 1], 1.0
    scores = softmax(kept.T)  # [2, leading + num_context_tokens]
    null = float(scores[0, 0] * scores[1, 0]) if leading else 1.0
    return scores[0, leading:], scores[1, leading:], null


def _window_answers(
    spans: np.ndarray[tuple[int, ...], np.dtype[np.int64]], starts: Floats, ends: Floats, top_k: int, longest: int
) -> Iterator[tuple[Span, float]]:
    """The best ``top_k`` different spans of one window, best first."""
    n = len(starts)
    if not n:
        return
    length = min(longest, n)
    padded = np.concatenate([ends, np.full(length - 1, -1, np.float32)])
    offered = np.lib.stride_tricks.sliding_window_view(padded, length)  # [n, length]: ends from each start on
    scores = np.where(offered < 0, np.float32(-1), starts[:, None] * offered).ravel()
    seen = set[Span]()
    for place in _descending(scores, 4 * top_k + 16):
        start = place // length
        span = Span(int(spans[start, 0]), int(spans[start + place % length, 1]))
        if span.end <= span.start or span in seen:
            continue
        yield span, float(scores[place])
        seen.add(span)
        if len(seen) == top_k:
            return


def _descending(scores: Floats, first: int) -> Iterator[int]:
    """Indices of the scores that are not negative, best first; the few best ones without sorting the others."""
    done, count = 0, first
    while done < len(scores):
        if count >= len(scores):
            order = np.argsort(-scores, kind="stable")
        else:
            least = np.partition(scores, len(scores) - count)[len(scores) - count]
            top = np.flatnonzero(scores >= least)
            order = top[np.argsort(-scores[top], kind="stable")]
        for place in order[done:]:
            if scores[place] < 0:
                return
            yield int(place)
        done, count = len(order), count * 8
