"""Views of every kind, small enough to be told by hand."""

from __future__ import annotations

import io

import numpy as np
from attendant.client.explain.views import (
    Attention,
    Attribution,
    Grid,
    Layer,
    Part,
    Similarity,
    Stage,
    Steps,
    Token,
    View,
)
from PIL import Image

TEXT = "Tea or coffee?"
KEYS = (
    Token("<s>", special=True),
    Token("Tea", 0, 3),
    Token(" or", 3, 6),
    Token(" coffee", 6, 13),
    Token("?", 13, 14),
    Token(" Tea"),
)
ROWS = (Token(" Tea"), Token("."))
WEIGHTS = np.array([[0, 0.5, 0, 0.25, 0.25, 0], [0, 0.125, 0.125, 0.25, 0.25, 0.25]], np.float32)  # [rows, keys]


def answered(*layers: Layer, reduction: str = "mean") -> Attention:
    """A decoder's answer of two tokens, with the given weights or with ``WEIGHTS`` in one piece."""
    return Attention(
        model="tea",
        kind="self",
        reduction=reduction,  # type: ignore[arg-type]
        without_sink=True,
        num_layers=2,
        num_heads=3,
        rows=ROWS,
        keys=KEYS,
        layers=layers or (Layer(None, (), WEIGHTS[None]),),
        first_row=5,
        num_prompt=5,
        answer=" Tea.",
        text=TEXT,
        source="eager",
    )


def heads() -> Attention:
    """Two layers with three heads each."""
    rng = np.random.default_rng(7)
    weights = rng.dirichlet(np.ones(len(KEYS)), (2, 3, len(ROWS))).astype(np.float32)
    return answered(*(Layer(number, (0, 1, 2), weights[number]) for number in range(2)), reduction="none")


def seen() -> Attention:
    """A class token over four patches: the lower left one has half."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 40, 40)).save(buffer, "PNG")
    keys = (Token("", special=True), *(Token("") for _ in range(4)))
    weights = np.array([[[0, 0.125, 0.25, 0.5, 0.125]]], np.float32)
    return Attention(
        model="eye",
        kind="self",
        reduction="mean",
        without_sink=True,
        num_layers=4,
        num_heads=2,
        rows=keys[:1],
        keys=keys,
        layers=(Layer(None, (), weights),),
        grid=Grid(2, 2, 1),
        image=buffer.getvalue(),
    )


def heard() -> Attention:
    """Two words at a second and at two seconds of a window of thirty."""
    weights = np.full((1, 2, 1500), 1e-4, np.float32)
    weights[0, 0, 50] = weights[0, 1, 100] = 0.85
    return Attention(
        model="ear",
        kind="cross",
        reduction="mean",
        without_sink=False,
        num_layers=4,
        num_heads=6,
        rows=(Token(" one"), Token(" two")),
        keys=tuple(Token("") for _ in range(1500)),
        layers=(Layer(None, (), weights),),
        answer=" one two",
        frame_s=0.02,
        heard_s=2.2,
    )


def attributed(method: str = "occlusion") -> Attribution:
    """Three words: one spoke for the answer, one against it."""
    parts = (
        Part("Tea", 0, 3, 1.5, (1.25, 0.25)),
        Part("or", 4, 6, 0.0, (0.0, 0.0)),
        Part("coffee?", 7, 14, -0.75, (-1.0, 0.25)),
    )
    return Attribution("tea", method, TEXT, parts, -0.5, " Tea.", (" Tea", "."))


def alike() -> Similarity:
    """Two contexts that are near, and one that is not."""
    cosines = np.array([[1, 0.9, 0.25], [0.9, 1, 0.5], [0.25, 0.5, 1]], np.float32)
    return Similarity("mini", ("Apple",) * 3, ("an Apple a day", "a red Apple", "Apple sells phones"), cosines)


def steps() -> Steps:
    """A tenth of a second."""
    stages = (Stage("tokenise", 0.01, "Words become numbers."), Stage("decode", 0.09, "One token after the other."))
    return Steps("tea", TEXT, " Tea.", stages, "5 tokens of prompt.")


VIEWS: dict[str, View] = {
    "answered": answered(),
    "heads": heads(),
    "seen": seen(),
    "heard": heard(),
    "attributed": attributed(),
    "rollout": attributed("rollout"),
    "alike": alike(),
    "steps": steps(),
}
