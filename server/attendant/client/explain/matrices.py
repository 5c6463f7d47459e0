"""Matrices of weights: who looked in rows, what was looked at in columns; and of cosines."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from attendant.client.explain import words
from attendant.client.explain.colors import HEAT, Ramp, css, ink
from attendant.client.explain.views import Attention, Floats, Panel, Similarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 14
"""Rows or columns up to which each cell has its number."""


def draw_matrices(view: Attention) -> Figure:
    """A matrix for each layer or head, rows by keys; several share their axes."""
    from matplotlib.figure import Figure

    figure = Figure()
    panels = list(view.panels())
    columns = min(len(panels), max(1, math.ceil(math.sqrt(len(panels) * 1.6))))
    rows = math.ceil(len(panels) / columns)
    small = len(panels) > 1
    timed = words.is_timed(view)
    num_keys = 40 if timed else len(view.keys)
    size = (
        (min(2.2, 0.6 + 0.06 * num_keys), min(2.2, 0.6 + 0.06 * len(view.rows)))
        if small
        else (max(3.0, 0.26 * num_keys), max(1.6, 0.26 * len(view.rows)))
    )
    figure.set_size_inches(min(columns * size[0] + 1.2, 18), min(rows * size[1] + 1.2, 24))
    axes = np.atleast_1d(np.array(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True))).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _matrix(axis, view, panel, small=small)
        axis.set_title(panel.title, fontsize=8 if small else 9)
        if small:
            most = words.largest(panel.weights.mean(axis=0), 1)
            axis.set_xlabel(f"most: {words.key_name(view, most[0])}" if most else "", fontsize=7, labelpad=2)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    if small:
        figure.tight_layout(pad=0.4)
    return figure


def _matrix(axis: Axes, view: Attention, panel: Panel, *, small: bool) -> None:
    weights = panel.weights  # [rows, keys]
    top = max(float(weights.max()), 1e-12)
    timed = words.is_timed(view)
    extent = (0.0, weights.shape[1] * view.frame_s, len(view.rows) - 0.5, -0.5) if timed else None
    axis.imshow(
        weights, cmap=_colormap(HEAT), vmin=0.0, vmax=top, aspect="auto", interpolation="nearest", extent=extent
    )
    axis.tick_params(length=0)
    if timed:
        axis.set_xlim(0.0, view.num_heard * view.frame_s)
        axis.set_xlabel(axis.get_xlabel() or "seconds")
    if small:
        axis.set_xticks(axis.get_xticks() if timed else [])
        axis.set_yticks([])
        return
    axis.set_yticks(range(len(view.rows)), [words.quoted(words.name_of(token)) for token in view.rows])
    if not timed:
        names = [words.name_of(token) for token in view.keys]
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        if 0 < view.num_prompt < len(view.keys):
            axis.axvline(view.num_prompt - 0.5, color="#555555", linewidth=0.8, linestyle=":")
    axis.set_ylabel({"cross": "answer"}.get(view.kind, "answer" if view.answer else "token that looks"))
    if max(weights.shape) <= _NUMBERED:
        _numbers(axis, weights, HEAT, lambda value: f"{100 * value:.0f}", top)


def _numbers(axis: Axes, values: Floats, ramp: Ramp, spoken: Callable[[float], str], top: float) -> None:
    for row, column in np.ndindex(*values.shape):
        value = float(values[row, column])
        color = css(ink(ramp.at(value / top)))
        axis.text(column, row, spoken(value), ha="center", va="center", fontsize=7, color=color)


def draw_similarity(view: Similarity) -> Figure:
    """Cosines, context by context."""
    from matplotlib.figure import Figure

    figure = Figure()
    count = len(view.contexts)
    figure.set_size_inches(1.5 + 0.62 * count, 1.0 + 0.5 * count)
    axis = figure.subplots()
    low = float(view.cosines.min())
    values = ((view.cosines - low) / max(1.0 - low, 1e-12)).astype(np.float32)
    axis.imshow(values, cmap=_colormap(HEAT), vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(count, count):
        axis.text(
            column,
            row,
            f"{view.cosines[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color=css(ink(HEAT.at(float(values[row, column])))),
        )
    names = [
        f"{number}. {textwrap.shorten(text, 60, placeholder='…')}" for number, text in enumerate(view.contexts, start=1)
    ]
    axis.set_yticks(range(count), names)
    axis.set_xticks(range(count), [str(number) for number in range(1, count + 1)])
    axis.tick_params(length=0)
    return figure


def _colormap(ramp: Ramp) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([css(ramp.at(step / 255)) for step in range(256)])
