"""What an answer hung on: the answer's log-probability with the whole input, and without each part of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from attendant.bundle.graph_io import PACKED, ROW_LOGITS
from attendant.core.attention import AttentionPiece
from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.core.generation import Delta, GenerationCall, Prompt, TextPrompt, TokenPrompt
from attendant.core.request import Timings
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.explain.calls import (
    Answered,
    AttributeCall,
    AttributedPart,
    Attribution,
    ImageFile,
    SoundFile,
    Subject,
)
from attendant.frontend.explain.encoding import text_row
from attendant.frontend.explain.parts import Part, ids_without, text_without
from attendant.frontend.explain.subjects import Looked, given_text
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.speech.model import Generator
from attendant.tasks.vectors import Floats

T = TypeVar("T")

AT_ONCE = 8
"""Variants of one call that wait or run together: they share steps, and leave places for others."""

Mask = tuple[str | None, int | None]
"""A mask token and its id; None: parts are left out."""

MASKS = ("[MASK]", "<mask>")


@dataclass(frozen=True, slots=True)
class Scored:
    """Natural log-probabilities of an answer's tokens, [n], and what the call took."""

    logprobs: tuple[float, ...]
    timings: Timings


async def occlude_generation(
    generator: Generator,
    model: str,
    call: AttributeCall,
    looked: Looked,
    parts: Sequence[Part],
    context: CallContext,
    mask: Mask,
) -> Attribution:
    """Of a model that generates: the answer is scored as a forced one, after the whole prompt and each variant."""
    answer = looked.answer
    if not answer.token_ids:
        raise InvalidRequest("answer", "has no tokens; allowed: an answer, or max_tokens above 0")
    ids = [token.id for token in (looked.sources or looked.tokens[: looked.num_prompt])]
    known = [token for token in ids if token is not None]

    def variant(part: Part) -> Prompt:
        if part.by_token:
            return TokenPrompt(ids_without(known, part.tokens[0], mask[1]))
        return _with_text(call.subject, text_without(given_text(call.subject), part.span, mask[0]), part)

    whole = call.subject.given
    assert not isinstance(whole, ImageFile | SoundFile), "it was refused"
    prompts = [whole, *[variant(part) for part in parts]]
    asked = GenerationCall(
        model, whole, ignore_eos=True, logprobs=0, translation=call.subject.translation, forced_answer=answer.token_ids
    )

    def score(prompt: Prompt) -> Callable[[], Awaitable[Scored]]:
        return lambda: _score(generator, replace(asked, prompt=prompt), context)

    base, *others = await all_of([score(prompt) for prompt in prompts])
    found = [_part(part, base.logprobs, other.logprobs) for part, other in zip(parts, others, strict=True)]
    timings = _together([base.timings, *(other.timings for other in others)])
    return Attribution(model, tuple(found), sum(base.logprobs), answer, timings)


async def occlude_rows(
    encoder: ServedEncoder,
    active: EncoderCall,
    call: AttributeCall,
    looked: Looked,
    parts: Sequence[Part],
    mask: Mask,
) -> Attribution:
    """Of a model that gives a text labels: the label's log-probability, of the whole row and of each variant."""
    rows = [looked.subject.arrays]
    for part in parts:
        if part.by_token:
            rows.append(_row_without(looked.subject.arrays, part.tokens[0], mask[1]))
        else:
            text = text_without(given_text(call.subject), part.span, mask[0])
            other = await text_row(encoder, replace(call.subject, given=_with_text(call.subject, text, part)))
            rows.append(other.subject.arrays)

    def read(index: int, outputs: Arrays) -> npt.NDArray[np.float64]:
        return log_scores(outputs[ROW_LOGITS.name], encoder.manifest.problem)

    base, *others = await active.run(len(rows), lambda index: rows[index], read)
    labels = encoder.manifest.labels
    if call.label and call.label not in labels:
        raise InvalidRequest("label", f"is {call.label[:100]!r}; allowed: {', '.join(map(repr, labels))}")
    label = labels.index(call.label) if call.label else int(base.argmax())
    found = [
        AttributedPart(part.text, part.span.start, part.span.end, float(base[label] - other[label]))
        for part, other in zip(parts, others, strict=True)
    ]
    usage = active.usage(0)
    timings = Timings(queue_ns=usage.queue_ns, prefill_ns=usage.compute_ns, total_ns=usage.total_ns)
    return Attribution(encoder.manifest.name, tuple(found), float(base[label]), Answered(labels[label]), timings)


def rolled_out(
    model: str, piece: AttentionPiece, looked: Looked, parts: Sequence[Part], timings: Timings
) -> Attribution:
    """Attention rollout in place of occlusion: what each part gets of the rows of ``piece``, in the mean."""
    row = piece.weights[0].mean(axis=0)  # [keys]
    found = [
        AttributedPart(part.text, part.span.start, part.span.end, float(row[list(part.tokens)].sum())) for part in parts
    ]
    return Attribution(model, tuple(found), 0.0, looked.answer, timings)


def log_scores(logits: Floats, problem: str) -> npt.NDArray[np.float64]:
    """Natural logarithms of the labels' scores, [labels]: of one of them being right, or of each by itself; of a model
    that gives a number, the number."""
    values = logits.astype(np.float64)
    if problem == "regression":
        return values
    if problem == "multi_label" or len(values) == 1:
        alone: npt.NDArray[np.float64] = -np.logaddexp(0.0, -values)
        return alone
    together: npt.NDArray[np.float64] = values - np.logaddexp.reduce(values)
    return together


def mask_of(tokenizer: Tokenizer | None, call: AttributeCall, model: str) -> Mask:
    """The mask token and its id, if the call asks for it.

    Raises:
        InvalidRequest: the model has none.
    """
    if not call.mask:
        return None, None
    for text in MASKS:
        if tokenizer is not None and (found := tokenizer.token_to_id(text)) is not None:
            return text, found
    raise InvalidRequest("mask", f"is true, and {model!r} has no mask token; allowed: false")


async def all_of(calls: Sequence[Callable[[], Awaitable[T]]], at_once: int = AT_ONCE) -> list[T]:
    """What the calls return, so many at once. If one fails, or the task is cancelled, the others end."""
    places = asyncio.Semaphore(at_once)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await call()

    tasks = [asyncio.ensure_future(one(call)) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _score(generator: Generator, call: GenerationCall, context: CallContext) -> Scored:
    logprobs: list[float] = []
    timings = Timings()
    async with aclosing(generator.generate_inner(InnerCall(call), context)) as parts:
        async for part in parts:
            if isinstance(part, Delta):
                logprobs += [entry.logprob for entry in part.logprobs]
            else:
                timings = part.timings
    return Scored(tuple(logprobs), timings)


def _part(part: Part, base: Sequence[float], other: Sequence[float]) -> AttributedPart:
    changes = tuple([one - two for one, two in zip(base, other, strict=True)])
    return AttributedPart(part.text, part.span.start, part.span.end, sum(changes), changes)


def _with_text(subject: Subject, text: str, part: Part) -> TextPrompt | ChatPrompt:
    if not text.strip():
        raise InvalidRequest("spans", f"has {part.text!r}, which is all of the text; allowed: a part of it")
    match subject.given:
        case TextPrompt() as prompt:
            return replace(prompt, text=text)
        case ChatPrompt(messages=messages) as chat:
            *before, last = messages
            return replace(chat, messages=(*before, replace(last, content=text)))
    raise AssertionError("spans are of texts")


def _row_without(arrays: Arrays, number: int, mask: int | None) -> Arrays:
    if mask is None:
        return {name: np.delete(values, number) for name, values in arrays.items()}
    masked = arrays[PACKED.input_ids.name].copy()
    masked[number] = mask
    return {**arrays, PACKED.input_ids.name: masked}


def _together(timings: Sequence[Timings]) -> Timings:
    return Timings(
        queue_ns=timings[0].queue_ns,
        prefill_ns=sum(each.prefill_ns for each in timings),
        decode_ns=sum(each.decode_ns for each in timings),
    )
