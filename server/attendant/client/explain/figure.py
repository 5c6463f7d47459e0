"""Views as pictures, PNG or SVG, by matplotlib: matrices, small multiples of layers and heads, patches, bars."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

from attendant.client.explain import words
from attendant.client.explain.bars import draw_attribution, draw_beside, draw_steps
from attendant.client.explain.matrices import draw_matrices, draw_similarity
from attendant.client.explain.patches import draw_patches
from attendant.client.explain.views import Attention, Attribution, Similarity, Steps, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING = "pictures need matplotlib; run: pip install 'attendant[explain]'"
MOST_PANELS = 64
"""More cannot be told apart on one picture."""
MATRICES = "Darker is more; each matrix from 0 to its largest weight."
PATCHES = "The thinner the veil, the more; each picture up to its largest weight. Numbers are percent."
_LETTERS_AN_INCH = 15  # of a caption


class PicturesUnavailable(Exception):
    """A picture cannot be drawn; ``str(error)`` says why and what to do."""


def picture(views: list[View], form: str) -> bytes:
    """One picture of views; an attention and an attribution of one text stand side by side.

    Args:
        views: one, or an attention and an attribution.
        form: "png" or "svg".

    Raises:
        PicturesUnavailable: matplotlib is not installed, or there are more matrices than can be told apart.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise PicturesUnavailable(f"{MISSING} ({error})") from None
    settings: Any = {
        "svg.fonttype": "none",  # text stays text: small files, and screen readers find it
        "svg.hashsalt": "attendant",  # the same view gives the same file
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        figure = _figure(views)
        buffer = io.BytesIO()
        metadata: Any = {"Title": words.title_of(views[0]), **({"Date": None} if form == "svg" else {})}
        figure.savefig(buffer, format=form, dpi=110, metadata=metadata, bbox_inches="tight", facecolor="white")
    return buffer.getvalue()


def _figure(views: list[View]) -> Figure:
    match views:
        case [Attention() as attention, Attribution() as attribution]:
            sentences = [*words.caption(attention), *words.attribution_caption(attribution), words.NOT_AN_EXPLANATION]
            return _labelled(draw_beside(attention, attribution), words.title_of(attribution), sentences)
        case [Attention() as attention]:
            _check(attention)
            sentences = [*words.caption(attention), words.NOT_AN_EXPLANATION]
            if attention.grid is not None:
                return _labelled(draw_patches(attention), words.title_of(attention), [PATCHES, *sentences])
            return _labelled(draw_matrices(attention), words.title_of(attention), [MATRICES, *sentences])
        case [Attribution() as attribution]:
            sentences = words.attribution_caption(attribution)
            return _labelled(draw_attribution(attribution), words.title_of(attribution), sentences)
        case [Similarity() as similarity]:
            return _labelled(draw_similarity(similarity), words.title_of(similarity), [words.SIMILARITY_CAPTION])
        case [Steps() as steps]:
            sentences = [steps.counts, *(f"{stage.name}: {stage.meaning}" for stage in steps.stages)]
            return _labelled(draw_steps(steps), words.title_of(steps), [each for each in sentences if each])
    raise PicturesUnavailable("these do not go together in one picture: write them into files of their own, or .html")


def _check(view: Attention) -> None:
    if view.num_panels > MOST_PANELS:
        raise PicturesUnavailable(
            f"{view.num_panels} matrices are too many for one picture; allowed: up to {MOST_PANELS}. Choose --layer or "
            "--head, or a --reduction, or write a page (.html), which has a switch for layers"
        )


def _labelled(figure: Figure, title: str, sentences: list[str]) -> Figure:
    """Title above everything that is drawn, caption below."""
    drawn = figure.get_tightbbox()  # inches
    width, height = (float(inches) for inches in figure.get_size_inches())
    left = drawn.x0 / width
    characters = max(round(drawn.width * _LETTERS_AN_INCH), 50)
    text = "\n".join(textwrap.fill(sentence, characters, break_on_hyphens=False) for sentence in sentences)
    figure.text(left, (drawn.y1 + 0.1) / height, title, fontsize=11, fontweight="bold", va="bottom")
    figure.text(left, (drawn.y0 - 0.1) / height, text, va="top", fontsize=8, color="#333333")
    return figure
