"""Scores of tokens to spans with labels, as transformers' TokenClassificationPipeline aggregates them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from attendant.tasks.frames import TokenRow
from attendant.tasks.spans import Span
from attendant.tasks.text import Tokens
from attendant.tasks.vectors import Floats, softmax

OUTSIDE = "O"


class Aggregation(Enum):
    """How tokens become spans: every token alone; neighbours of one entity; or whole words, labelled by their first
    token, by the label with the best mean, or by their best token, and then neighbours of one entity."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Entity:
    """A labelled span of a text."""

    label: str
    score: float
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class _Unit:
    """A token or a word, with its best label."""

    label: str
    score: np.float32
    start: int
    end: int


def join_windows(rows: Sequence[TokenRow], logits: Sequence[Floats], num_tokens: int) -> Floats:
    """Scores [num_tokens, num_labels] of a text's tokens, each from the window where it has most text on both sides.

    Args:
        rows: the windows of one text. logits: of each, [n, num_labels] float32, special tokens included.
    """
    num_labels = logits[0].shape[-1]
    joined = np.zeros((num_tokens, num_labels), np.float32)
    context = np.full(num_tokens, -1)
    for row, values in zip(rows, logits, strict=True):
        place = row.first
        inside = np.arange(place.count)
        before = inside if place.skipped else np.full(place.count, num_tokens)
        ends_here = place.skipped + place.count == num_tokens
        after = np.full(place.count, num_tokens) if ends_here else place.count - 1 - inside
        here = np.minimum(before, after)
        better = here > context[place.in_text]
        context[place.in_text][better] = here[better]
        joined[place.in_text][better] = values[place.in_row][better]
    return joined


def entities(
    tokens: Tokens, logits: Floats, labels: Sequence[str], aggregation: Aggregation, *, keep_outside: bool = False
) -> tuple[Entity, ...]:
    """The labelled spans of a text in order. Where tokens were cut off, ``logits`` has fewer rows than there are.

    Args:
        tokens: with spans. logits: [n, num_labels] float32, of the first n of them.
        keep_outside: also spans labelled O.
    """
    scores = softmax(logits)
    if aggregation in (Aggregation.NONE, Aggregation.SIMPLE):
        units = [_unit(tokens, scores, labels, i) for i in range(len(scores))]
    else:
        units = [_word(tokens, scores, labels, word, aggregation) for word in _words(tokens, len(scores))]
    if aggregation is not Aggregation.NONE:
        units = [_merged(group) for group in _groups(units)]
    return tuple(
        Entity(unit.label, float(unit.score), Span(unit.start, unit.end), tokens.text[unit.start : unit.end])
        for unit in units
        if unit.end > unit.start and (keep_outside or unit.label != OUTSIDE)
    )


def _unit(tokens: Tokens, scores: Floats, labels: Sequence[str], index: int) -> _Unit:
    label = int(scores[index].argmax())
    start, end = tokens.spans[index]
    return _Unit(labels[label], scores[index, label], int(start), int(end))


def _words(tokens: Tokens, count: int) -> Iterator[slice]:
    starts = np.flatnonzero(tokens.starts_word[1:count]) + 1
    bounds = [0, *starts.tolist(), count] if count else [0]
    return itertools.starmap(slice, itertools.pairwise(bounds))


def _word(tokens: Tokens, scores: Floats, labels: Sequence[str], word: slice, aggregation: Aggregation) -> _Unit:
    inside = scores[word]  # [n, num_labels]
    match aggregation:
        case Aggregation.FIRST:
            values = inside[0]
        case Aggregation.AVERAGE:
            values = inside.mean(axis=0)
        case _:
            values = inside[inside.max(axis=-1).argmax()]
    label = int(values.argmax())
    start, end = tokens.spans[word.start, 0], tokens.spans[word.stop - 1, 1]
    return _Unit(labels[label], values[label], int(start), int(end))


def _groups(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    """Neighbours of one entity: B- begins a new one, everything else goes on with the same name."""
    group: list[_Unit] = []
    for unit in units:
        if group and (unit.label.startswith("B-") or _tag(unit.label) != _tag(group[-1].label)):
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _merged(group: Sequence[_Unit]) -> _Unit:
    score = np.mean(np.array([unit.score for unit in group], np.float32))
    name = group[0].label.split("-", 1)[-1]  # whatever stands before the first hyphen: BIO, BIOES, BILOU
    return _Unit(name, score, group[0].start, group[-1].end)


def _tag(label: str) -> str:
    """What neighbours of one entity have in common: of a scheme other than BIO the whole label, as in transformers."""
    return label[2:] if label.startswith(("B-", "I-")) else label
