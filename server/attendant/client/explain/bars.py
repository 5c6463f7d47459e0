"""Bars: what each part of an input did, beside how much it was looked at; and what the time of a request went to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attendant.client.explain import words
from attendant.client.explain.colors import AGAINST, BLACK, HEAT, css, ink
from attendant.client.explain.views import Attention, Attribution, Steps, part_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_attribution(view: Attribution) -> Figure:
    """A bar for each part of a text; beside it what the part did to each token of the answer."""
    from matplotlib.figure import Figure

    figure = Figure()
    tokens = view.answer_tokens if any(part.token_weights for part in view.parts) else ()
    figure.set_size_inches(5.0 + 0.35 * len(tokens), max(1.6, 0.28 * len(view.parts)))
    if tokens:
        bars, matrix = figure.subplots(1, 2, sharey=True, width_ratios=(4.0, 0.35 * len(tokens)))
        _token_weights(matrix, view)
    else:
        bars = figure.subplots()
    _bars(bars, view)
    figure.tight_layout(pad=0.6)
    return figure


def _bars(axis: Axes, view: Attribution) -> None:
    places = range(len(view.parts))
    weights = [part.weight for part in view.parts]
    colors = [css((AGAINST if weight < 0 else HEAT).at(0.7)) for weight in weights]
    axis.barh(places, weights, color=colors, height=0.75)
    axis.set_yticks(places, [words.quoted(part.text.strip()) for part in view.parts])
    axis.set_ylim(len(view.parts) - 0.4, -0.6)
    axis.axvline(0, color=css(BLACK), linewidth=0.6)
    spoken = words.percent if view.method == "rollout" else words.signed
    for place, weight in zip(places, weights, strict=True):
        side = "right" if weight < 0 else "left"
        axis.annotate(
            spoken(weight),
            (weight, place),
            (-3 if weight < 0 else 3, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=8,
        )
    axis.margins(x=0.18)
    axis.set_title(
        "share of attention" if view.method == "rollout" else "left out: change of the log-probability", fontsize=9
    )


def _token_weights(axis: Axes, view: Attribution) -> None:
    """Part by token of the answer: blue spoke for it, orange against it."""
    values = np.array([part.token_weights for part in view.parts], np.float32)  # [parts, tokens]
    top = max(float(np.abs(values).max()), 1e-12)
    colors = [[(AGAINST if value < 0 else HEAT).at(abs(float(value)) / top) for value in row] for row in values]
    axis.imshow(np.array(colors, np.uint8), aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(*values.shape):
        value = float(values[row, column])
        axis.text(
            column, row, f"{value:+.1f}", ha="center", va="center", fontsize=6, color=css(ink(colors[row][column]))
        )
    names = [token.replace("\n", "⏎") for token in view.answer_tokens]
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.set_title("token by token", fontsize=9)


def draw_beside(attention: Attention, attribution: Attribution) -> Figure:
    """One bar for each part of a text: how much it was looked at, and what it did."""
    from matplotlib.figure import Figure

    figure = Figure()
    figure.set_size_inches(9.0, max(1.8, 0.28 * len(attribution.parts)))
    left, right = figure.subplots(1, 2, sharey=True)
    shares = part_weights(attention, attribution.parts)
    places = range(len(attribution.parts))
    left.barh(places, shares, color=css(HEAT.at(0.45)), height=0.75)
    for place, share in zip(places, shares, strict=True):
        left.annotate(
            words.percent(float(share)),
            (float(share), place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    left.margins(x=0.18)
    left.set_title("attention: where the model looked", fontsize=9)
    _bars(right, attribution)
    figure.tight_layout(pad=0.6)
    return figure


def draw_steps(view: Steps) -> Figure:
    """The stages of a request, one below the other, each where it began."""
    from matplotlib.figure import Figure

    figure = Figure()
    figure.set_size_inches(9.0, 0.4 * len(view.stages) + 0.8)
    axis = figure.subplots()
    before = 0.0
    total = sum(stage.seconds for stage in view.stages) or 1.0
    for place, stage in enumerate(view.stages):
        axis.barh(place, 1000 * stage.seconds, left=1000 * before, color=css(HEAT.at(0.65)), height=0.7)
        before += stage.seconds
        late = before > 0.75 * total
        at = before - stage.seconds if late else before
        axis.annotate(
            f"{1000 * stage.seconds:.1f} ms",
            (1000 * at, place),
            (-4 if late else 4, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="center",
            fontsize=8,
        )
    axis.set_yticks(range(len(view.stages)), [stage.name for stage in view.stages])
    axis.set_ylim(len(view.stages) - 0.4, -0.6)
    axis.set_xlim(0, 1000 * total * 1.02)
    axis.set_xlabel("milliseconds since the request arrived")
    figure.tight_layout(pad=0.6)
    return figure
