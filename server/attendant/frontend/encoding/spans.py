"""Calls whose results are pieces of a text, which may be longer than the model reads at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from attendant.bundle.graph_io import TOKEN_LOGITS
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.calls import AnswerCall, ClassifyTokensCall, Encoded
from attendant.frontend.encoding.served import ServedEncoder, check_some, is_long
from attendant.tasks.answers import MAX_ANSWER_TOKENS, MAX_ANSWERS, Answer, answer_windows, best_answers
from attendant.tasks.frames import TokenRow
from attendant.tasks.text import Tokens
from attendant.tasks.tokens import Entity, entities, join_windows
from attendant.tasks.vectors import Floats, check_top_k

T = TypeVar("T")

MANY_TOKENS = 256
"""Tokens from which on finding the spans of a call leaves the event loop."""

FEW_WINDOWS = 4
"""The same in windows, whose texts may be short."""


async def classify_tokens(
    encoder: ServedEncoder, active: EncoderCall, call: ClassifyTokensCall
) -> Encoded[tuple[Entity, ...]]:
    """The labelled spans of each text, in order."""
    check_some(call.texts, "texts")
    text, labels = encoder.text, encoder.manifest.labels

    def make() -> list[tuple[Tokens, list[TokenRow]]]:
        limit = None if call.stride is None else text.rows.window_limit(call.stride)
        return [
            (tokens, _rows(encoder, tokens, call, f"texts[{index}]"))
            for index, tokens in enumerate(text.tokenize(call.texts, spans=True, limit=limit))
        ]

    made = await active.prepare(make, off_loop=is_long(call.texts))
    windows = [rows for _, rows in made]
    logits = await _logits(encoder, active, windows)

    def read(index: int) -> tuple[Entity, ...]:
        tokens, rows = made[index]
        num_read = rows[-1].first.skipped + rows[-1].first.count
        joined = join_windows(rows, logits[index], num_read)
        return entities(tokens, joined, labels, call.aggregation, keep_outside=call.keep_outside)

    return await _encoded(active, windows, read)


async def answer(encoder: ServedEncoder, active: EncoderCall, call: AnswerCall) -> Encoded[tuple[Answer, ...]]:
    """The best answers to each question in its context."""
    check_some(call.inputs, "inputs")
    check_top_k(call.top_k, MAX_ANSWERS)
    if not 1 <= call.max_answer_tokens <= MAX_ANSWER_TOKENS:
        raise InvalidRequest("max_answer_tokens", f"is {call.max_answer_tokens}; allowed: 1 to {MAX_ANSWER_TOKENS}")
    maker = encoder.text.rows
    texts = [text for item in call.inputs for text in (item.question, item.context)]

    def make() -> list[tuple[Tokens, list[TokenRow]]]:
        tokens = encoder.text.tokenize(texts, spans=True, limit=maker.window_limit(call.stride or 0))
        return [
            (
                context,
                answer_windows(
                    maker,
                    question,
                    context,
                    stride=call.stride,
                    truncate=call.truncate,
                    question_field=f"inputs[{index}].question",
                    context_field=f"inputs[{index}].context",
                ),
            )
            for index, (question, context) in enumerate(zip(tokens[::2], tokens[1::2], strict=True))
        ]

    made = await active.prepare(make, off_loop=is_long(texts))
    windows = [rows for _, rows in made]
    logits = await _logits(encoder, active, windows)

    def read(index: int) -> tuple[Answer, ...]:
        context, rows = made[index]
        return best_answers(
            rows,
            logits[index],
            context,
            num_special_before=maker.pair_frame.num_before,
            top_k=call.top_k,
            max_answer_tokens=call.max_answer_tokens,
            allow_no_answer=call.allow_no_answer,
        )

    return await _encoded(active, windows, read)


def _rows(encoder: ServedEncoder, tokens: Tokens, call: ClassifyTokensCall, field: str) -> list[TokenRow]:
    maker = encoder.text.rows
    if call.stride is None:
        return [maker.single(tokens, truncate=call.truncate, field=field)]
    return maker.windows(tokens, call.stride, field)


async def _logits(
    encoder: ServedEncoder, active: EncoderCall, windows: Sequence[Sequence[TokenRow]]
) -> list[list[Floats]]:
    """Of each window of each text, [n, num_labels] float32."""
    rows = [row for group in windows for row in group]

    def read(index: int, outputs: Arrays) -> Floats:
        return outputs[TOKEN_LOGITS.name].copy()

    flat = iter(await active.run(len(rows), lambda index: encoder.text.rows.arrays(rows[index]), read))
    return [[next(flat) for _ in group] for group in windows]


async def _encoded(active: EncoderCall, windows: Sequence[Sequence[TokenRow]], read: Callable[[int], T]) -> Encoded[T]:
    rows = [row for group in windows for row in group]
    num_tokens = sum(map(len, rows))

    def read_all() -> list[T]:
        return [read(index) for index in range(len(windows))]

    many = num_tokens > MANY_TOKENS or len(rows) > FEW_WINDOWS
    results = await asyncio.to_thread(read_all) if many else read_all()
    num_truncated = sum(any(row.truncated for row in group) for group in windows)
    return Encoded(results, active.usage(num_tokens, num_truncated))
