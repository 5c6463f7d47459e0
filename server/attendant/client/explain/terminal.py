"""Views as lines of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np

from attendant.client.explain import words
from attendant.client.explain.painter import Painter, padded
from attendant.client.explain.views import Attention, Attribution, Panel, Similarity, Steps, View
from attendant.client.terminal import printable

MOST_PANELS = 12
_MOST_ROWS = 60
_NAME = 16
_BAR = 30
_CELL = 5


def lines(view: View, painter: Painter) -> Iterator[str]:
    """Everything that a terminal shows of a view, line by line."""
    match view:
        case Attention():
            yield from _attention(view, painter)
        case Attribution():
            yield from _attribution(view, painter)
        case Similarity():
            yield from _similarity(view, painter)
        case Steps():
            yield from _steps(view, painter)


def _attention(view: Attention, painter: Painter) -> Iterator[str]:
    yield from _wrapped([words.title_of(view)], painter)
    yield from _wrapped(words.caption(view), painter)
    several = view.num_panels > 1
    for panel in view.panels():
        yield ""
        if several:
            yield f"{panel.title}:"
        if view.grid is not None:
            yield from _patches(view, panel, painter)
        elif words.is_timed(view):
            yield from _times(view, panel, painter)
        else:
            yield from _tokens(view, panel, painter, brief=several)
    yield ""
    yield from _wrapped([words.SCALE, words.NOT_AN_EXPLANATION], painter)


def _tokens(view: Attention, panel: Panel, painter: Painter, *, brief: bool) -> Iterator[str]:
    mean = panel.weights.mean(axis=0)  # [keys]
    shares = mean / max(float(mean.max()), 1e-12)
    seen = _seen(view)
    parts = [
        (text, None if key is None else float(shares[key])) for text, key in words.pieces(view.keys[:seen], view.text)
    ]
    yield from painter.text(parts)
    if brief:
        return
    yield ""
    for number, (token, row) in list(enumerate(zip(view.rows, panel.weights, strict=True)))[:_MOST_ROWS]:
        name = padded(words.quoted(words.name_of(token)), _NAME)
        yield f"{view.first_row + number:>4}  {name}  {words.looked_at(view, row)}"
    yield from _more(view)


def _seen(view: Attention) -> int:
    """Of a decoder the prompt; the answer is named row by row."""
    return view.num_prompt if view.answer and 0 < view.num_prompt <= len(view.keys) else len(view.keys)


def _more(view: Attention) -> Iterator[str]:
    if len(view.rows) > _MOST_ROWS:
        yield f"      ... and {len(view.rows) - _MOST_ROWS} more, which --token names one by one"


def _patches(view: Attention, panel: Panel, painter: Painter) -> Iterator[str]:
    grid = view.grid
    assert grid is not None
    mean = panel.weights.mean(axis=0)[grid.num_prefix :]  # [patches]
    top = max(float(mean.max()), 1e-12)
    for row in mean.reshape(grid.rows, grid.columns):
        yield "".join(painter.cell(f"{100 * value:>{_CELL}.1f}", float(value) / top) for value in row)
    yield from _wrapped(["Percent of the weights, for each patch of the picture."], painter)


def _times(view: Attention, panel: Panel, painter: Painter) -> Iterator[str]:
    room = painter.columns - _NAME - 10
    last = view.num_heard
    for token, row in list(zip(view.rows, panel.weights, strict=True))[:_MOST_ROWS]:
        bins = np.array([part.max() if len(part) else 0.0 for part in np.array_split(row[:last], room)])
        strip = "".join(painter.level(float(value) / max(float(bins.max()), 1e-12)) for value in bins)
        peak = int(row.argmax()) * view.frame_s
        yield f"{padded(words.quoted(words.name_of(token)), _NAME)} {strip} {peak:>5.2f} s"
    end = f"{last * view.frame_s:.1f} s"
    yield from _more(view)
    yield f"{' ' * _NAME} 0 s{' ' * max(room - 3 - len(end), 1)}{end}   largest at"


def _attribution(view: Attribution, painter: Painter) -> Iterator[str]:
    yield from _wrapped([words.title_of(view)], painter)
    yield from _wrapped(words.attribution_caption(view), painter)
    yield ""
    top = max((abs(part.weight) for part in view.parts), default=0.0) or 1.0
    parts: list[tuple[str, float | None]] = []
    place = 0
    for part in view.parts:
        if part.end > part.start >= place:
            parts.append((view.text[place : part.start], None))
            place = part.end
        parts.append((part.text, part.weight / top))
    parts.append((view.text[place:], None))
    yield from painter.text(parts)
    yield ""
    for part in view.parts:
        bar = painter.bar(abs(part.weight) / top, _BAR)
        number = words.percent(part.weight) if view.method == "rollout" else words.signed(part.weight)
        yield f"{padded(printable(part.text), _NAME)} {number:>8}  {bar}"


def _similarity(view: Similarity, painter: Painter) -> Iterator[str]:
    yield from _wrapped([words.title_of(view)], painter)
    yield from _wrapped([words.SIMILARITY_CAPTION], painter)
    yield ""
    for number, (word, context) in enumerate(zip(view.words, view.contexts, strict=True), start=1):
        yield f"{number:>3}  {words.quoted(printable(word)) + ' in ' if word else ''}{printable(context)}"
    yield ""
    low = float(view.cosines.min())
    span = max(1.0 - low, 1e-12)
    yield "     " + "".join(f"{number:>7}" for number in range(1, len(view.contexts) + 1))
    for number, row in enumerate(view.cosines, start=1):
        yield f"{number:>5}" + "".join(painter.cell(f"{value:>7.3f}", (float(value) - low) / span) for value in row)


def _steps(view: Steps, painter: Painter) -> Iterator[str]:
    yield from _wrapped([words.title_of(view)], painter)
    if view.counts:
        yield from _wrapped([view.counts], painter)
    yield ""
    total = sum(stage.seconds for stage in view.stages) or 1.0
    room = max(painter.columns - _NAME - 14, 10)
    before = 0.0
    for stage in view.stages:
        start = round(before / total * room)
        before += stage.seconds
        bar = " " * start + painter.bar(1.0, max(round(before / total * room) - start, 1))
        yield f"{padded(stage.name, _NAME)} {1000 * stage.seconds:>9.1f} ms {bar}"
    yield f"{padded('together', _NAME)} {1000 * total:>9.1f} ms"
    yield ""
    for stage in view.stages:
        text = textwrap.fill(
            stage.meaning, painter.columns, initial_indent=padded(stage.name, _NAME), subsequent_indent=" " * _NAME
        )
        yield from text.splitlines()
    if view.answer:
        yield ""
        yield from printable(view.answer.strip()).splitlines()


def _wrapped(sentences: list[str], painter: Painter) -> Iterator[str]:
    for sentence in sentences:
        yield from textwrap.wrap(printable(sentence), painter.columns, break_on_hyphens=False)
